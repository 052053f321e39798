// SPDX-License-Identifier: Apache-2.0
using System.Text;
using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Requests;

namespace Runai.GpuMemory.Tests.Admission.Requests;

sealed class StrictJsonTests
{
    static string? ProblemOf(string json) => ProblemOf(Encoding.UTF8.GetBytes(json));

    static string? ProblemOf(byte[] json) => CreateBody.TryRead(json, out _, out var problem) ? null : problem;

    static readonly TestCaseData[] Disguised =
    [
        new("", "strict JSON"),
        new("null", "it is null"),
        new("[]", "is not what the API has there"),
        new("7", "is not what the API has there"),
        new("""{"Image":"a"}{}""", "strict JSON"),
        new("""{"Image":"a"}x""", "strict JSON"),
        new("{\"Image\":\"a\"}\0", "strict JSON"),
        new("\ufeff{}", "strict JSON"),
        new("""{"Image":"a",}""", "strict JSON"),
        new("""{"Image":"a"/**/}""", "strict JSON"),
        new("""{"Image":"a" """, "strict JSON"),
        new("""{"Image":"a","Image":"b"}""", "the key Image appears twice"),
        new("""{"Image":"a","IMAGE":"b"}""", "the key Image appears twice"),
        new("""{"Labels":{"gpu-memory":"0.1","gpu-memory":"1"}}""", "the key Labels.gpu-memory appears twice"),
        new("""{"Labels":{"gpu-memory":"0.1","gpu\u002dmemory":"1"}}""", "the key Labels.gpu-memory appears twice"),
        new("""{"HostConfig":{"Binds":[]},"HostConfig":{"Privileged":true}}""", "the key HostConfig appears twice"),
        new(
            """{"HostConfig":{"Privileged":false},"hostconfig":{"Privileged":true}}""",
            "the key HostConfig appears twice"
        ),
        new(
            """{"HostConfig":{"Mounts":[{"Type":"tmpfs","Type":"volume"}]}}""",
            "the key HostConfig.Mounts.Type appears twice"
        ),
        new(
            """{"HostConfig":{"\u212aernel":1,"Privile\u0067ed":true,"Privileged":false}}""",
            "the key HostConfig.Privileged appears twice"
        ),
        new("""{"HostConfig":{"Binds":"x:/y:z","Tmpfs":[]}}""", "is not what the API has there"),
        new("""{"HostConfig":{"Privileged":"true"}}""", "is not what the API has there"),
        new("""{"HostConfig":{"Privileged":1}}""", "is not what the API has there"),
        new("""{"HostConfig":{"DeviceRequests":[{"Count":1e0}]}}""", "is not what the API has there"),
        new("""{"HostConfig":{"DeviceRequests":[{"Count":99999999999999999999}]}}""", "is not what the API has there"),
        new("""{"HostConfig":[]}""", "is not what the API has there"),
        new("""{"Labels":{"gpu-memory":0.5}}""", "is not what the API has there"),
        new("""{"Env":["A",7]}""", "is not what the API has there"),
        new("""{"Binds":["runai:/runai"]}""", "the key Binds belongs into HostConfig"),
        new("""{"privileged":true,"HostConfig":{}}""", "the key Privileged belongs into HostConfig"),
        new("""{"VolumeDriver":"local","HostConfig":{}}""", "the key VolumeDriver belongs into HostConfig"),
        new("{\"Labels\":{\"gpu-memory\":\"\\ud800\"}}", "is not what the API has there"),
    ];

    static readonly string[] Twice = ["image", "IMAGE", "\\u0069mage", "Labelſ", "label\\u017f", "networ\u212aMode"];

    [TestCase("""{"image":"a"}""", """{"Image":"a"}""")]
    [TestCase(
        """{"labels":{"GPU-memory":"1","gpu-memory":"2"},"\u0049MAGE":"a"}""",
        """{"Labels":{"GPU-memory":"1","gpu-memory":"2"},"Image":"a"}"""
    )]
    [TestCase("""{ "Labelſ" : {"a":"ſ"} , "label" : 1 }""", """{ "Labels" : {"a":"ſ"} , "label" : 1 }""")]
    [TestCase(
        """{"HOSTCONFIG":{"deviceReque\u017ftſ":[{"DeviceIds":["0"],"count":1}],"networ\u212amode":"host"}}""",
        """{"HostConfig":{"DeviceRequests":[{"DeviceIDs":["0"],"Count":1}],"NetworkMode":"host"}}"""
    )]
    [TestCase(
        """{"hostConfig":{"mounts":[{"type":"volume","volumeoptions":{"driverconfig":{"name":"x","OPTIONS":{"o":"bind"}}}}]}}""",
        """{"HostConfig":{"Mounts":[{"Type":"volume","VolumeOptions":{"DriverConfig":{"Name":"x","Options":{"o":"bind"}}}}]}}"""
    )]
    [TestCase("""{"hostconfig":null,"unknown":{"image":1,"image":2}}""", """{"HostConfig":null}""")]
    public void Keys_are_folded_as_the_engine_folds_them(string json, string plain)
    {
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(json), out var body, out var problem), problem);
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(plain), out var wanted, out problem), problem);
        Assert.That(JsonSerializer.Serialize(body), Is.EqualTo(JsonSerializer.Serialize(wanted)));
    }

    [TestCaseSource(nameof(Twice))]
    public void Duplicate_keys_are_refused_in_any_spelling(string key)
    {
        var plain =
            key[0] is 'n' ? "NetworkMode"
            : key[0] is 'L' or 'l' ? "Labels"
            : "Image";
        foreach (var (first, second) in ((string, string)[])[(plain, key), (key, plain), (key, key)])
        {
            var members = $"\"{first}\":null,\"{second}\":null";
            Assert.That(
                ProblemOf(plain == "NetworkMode" ? $$$"""{"HostConfig":{{{{members}}}}}""" : $$"""{{{members}}}"""),
                Does.Contain(" appears twice"),
                members
            );
        }
    }

    [TestCaseSource(nameof(Disguised))]
    public void An_ambiguous_body_is_refused(string json, string problem) =>
        Assert.That(ProblemOf(json), Does.Contain(problem));

    [TestCase("""{"Labels":{""", "\"{0}\":\"\",", "\"x\":\"\"}}")]
    [TestCase("""{"HostConfig":{"Mounts":[""", "{{}},", "{}]}}")]
    [TestCase("""{"Env":[""", "\"\",", "\"\"]}")]
    public void Too_many_values_are_refused_before_they_are_kept(string begin, string each, string end)
    {
        string Text(int count) =>
            begin + string.Concat(Enumerable.Range(0, count).Select(i => string.Format(null, each, i))) + end;
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(Text(49_000)), out _, out var problem), problem);
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(Text(51_000)), out _, out problem), Is.False);
        Assert.That(problem, Is.EqualTo("it has more than 50000 values"));
    }

    [Test]
    public void A_body_that_is_no_text_is_refused()
    {
        Assert.That(ProblemOf([.. "{\"Image\":\""u8, 0xff, .. "\"}"u8]), Is.Not.Null);
        Assert.That(ProblemOf([.. "{\"Ima"u8, 0xc0, .. "ge\":\"\"}"u8]), Is.Not.Null);
    }

    [Test]
    public void A_body_nested_too_deeply_is_refused()
    {
        string Nested(int levels) => $$"""{"Other":{{new string('[', levels)}}{{new string(']', levels)}}}""";
        Assert.That(ProblemOf(Nested(60)), Is.Null);
        Assert.That(ProblemOf(Nested(64)), Does.Contain("at most 64 levels"));
        Assert.That(ProblemOf(Nested(1_000_000)), Does.Contain("at most 64 levels"));
    }

    static readonly string[] Official =
    [
        .. GoldenCase.All("client-").Select(golden => golden.Body),
        "{}",
        " {\"Image\":\"debian\"}\r\n",
    ];

    [TestCaseSource(nameof(Official))]
    public void Bodies_of_real_clients_are_read(string json) => Assert.That(ProblemOf(json), Is.Null);

    [Test]
    public void Unread_keys_may_be_duplicate_or_of_any_type() =>
        Assert.That(
            ProblemOf(
                """{"Cmd":["a"],"Cmd":["b"],"cmd":"c","Healthcheck":{"x":1,"X":2},"Labels":{"a":"1","A":"2"},"HostConfig":{"Memory":1,"memory":2}}"""
            ),
            Is.Null
        );

    [Test]
    public void A_key_spelled_in_escapes_is_still_that_key()
    {
        Assert.That(CreateBody.TryRead("""{"I\u006dage":"debian"}"""u8, out var body, out _));
        Assert.That(body!.Image, Is.EqualTo("debian"));
    }

    static readonly Gen<string> Keys = Gen.Elements(
        "Image",
        "image",
        "Labels",
        "gpu-memory",
        "HostConfig",
        "Binds",
        "Privileged",
        "Mounts",
        "Type",
        "VolumeOptions",
        "Env",
        "Labelſ",
        "x",
        "\\u0049mage",
        "Tmpfs",
        "DeviceRequests",
        "Count"
    );

    static Gen<string> Json(int depth) =>
        depth == 0
            ? Gen.Elements(
                "null",
                "true",
                "1",
                "-1.5e3",
                "\"\"",
                "\"runai:/runai\"",
                "\"\\ud800\"",
                "[]",
                "{}",
                "",
                "nul",
                "\"",
                "]"
            )
            : Gen.OneOf(
                Json(0),
                Gen.ListOf(Json(depth - 1)).Select(items => $"[{string.Join(",", items.Take(4))}]"),
                Gen.ListOf(Gen.Zip(Keys, Json(depth - 1)))
                    .Select(members =>
                        $"{{{string.Join(",", members.Take(6).Select(m => $"\"{m.Item1}\":{m.Item2}"))}}}"
                    )
            );

    [FsCheck.NUnit.Property(MaxTest = 3000)]
    public Property Accepted_bodies_have_no_two_keys_that_fold_together() =>
        Prop.ForAll(
            Arb.From(Json(4)),
            json =>
            {
                if (!CreateBody.TryRead(Encoding.UTF8.GetBytes(json), out var body, out _))
                    return true;
                using var document = JsonDocument.Parse(json);
                var images = document
                    .RootElement.EnumerateObject()
                    .Where(p => GoKeys.AreSame("Image", p.Name))
                    .ToArray();
                return images.Length switch
                {
                    0 => body.Image is null,
                    1 => body.Image == (images[0].Value.GetString() ?? ""),
                    _ => false,
                };
            }
        );

    [FsCheck.NUnit.Property(MaxTest = 3000)]
    public bool Any_bytes_are_read_or_refused_without_an_exception(byte[]? bytes) =>
        CreateBody.TryRead(bytes ?? [], out _, out var problem) || problem.Length < 400;

    [FsCheck.NUnit.Property(MaxTest = 1000)]
    public Property A_body_with_one_byte_changed_never_throws() =>
        Prop.ForAll(
            Arb.From(Gen.Zip(Gen.Elements(Official), Gen.Zip(Gen.Choose(0, 4000), Gen.Choose(0, 255)))),
            change =>
            {
                var bytes = Encoding.UTF8.GetBytes(change.Item1);
                bytes[change.Item2.Item1 % bytes.Length] = (byte)change.Item2.Item2;
                return CreateBody.TryRead(bytes, out _, out var problem) || problem.Length < 400;
            }
        );
}
