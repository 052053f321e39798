// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using NUnit.Framework;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Protocol;

sealed class AuthZMessagesTests
{
    static byte[]? Body(string json) =>
        JsonSerializer.Deserialize($$"""{"RequestBody":{{json}}}""", AuthZJson.Default.AuthZRequest)!.RequestBody;

    [Test]
    public void A_body_of_any_length_is_read([Range(0, 9)] int length)
    {
        byte[] body = [.. Enumerable.Range(0, length).Select(n => (byte)(250 + n))];
        Assert.That(Body($"\"{Convert.ToBase64String(body)}\""), Is.EqualTo(body));
    }

    [Test]
    public void Escapes_are_read() => Assert.That(Body("\"\\u002b/A=\""), Is.EqualTo(new byte[] { 0xfb, 0xf0 }));

    [Test]
    public void A_missing_body_is_null() => Assert.That(Body("null"), Is.Null);

    [TestCase("\"=\"")]
    [TestCase("\"==\"")]
    [TestCase("\"A\"")]
    [TestCase("\"AAA\"")]
    [TestCase("\"A===\"")]
    [TestCase("\"AA==AAAA\"")]
    [TestCase("\"AAA*\"")]
    [TestCase("\"\\u002a\"")]
    [TestCase("7")]
    [TestCase("[7]")]
    public void Invalid_base64_is_an_error_of_the_call(string json) =>
        Assert.That(() => Body(json), Throws.InstanceOf<JsonException>());
}
