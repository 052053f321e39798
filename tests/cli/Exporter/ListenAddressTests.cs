// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Exporter;

namespace Runai.GpuMemory.CliTests.Exporter;

sealed class ListenAddressTests
{
    [TestCase("127.0.0.1:9401", "127.0.0.1:9401")]
    [TestCase("localhost:0", "127.0.0.1:0")]
    [TestCase("0.0.0.0:65535", "0.0.0.0:65535")]
    [TestCase("[::1]:9401", "[::1]:9401")]
    public void An_address_and_a_port_are_read(string text, string address) =>
        Assert.That(ListenAddress.Read(text).ToString(), Is.EqualTo(address));

    [TestCase("")]
    [TestCase("9401")]
    [TestCase(":9401")]
    [TestCase("127.0.0.1")]
    [TestCase("127.0.0.1:")]
    [TestCase("127.0.0.1:65536")]
    [TestCase("127.0.0.1:-1")]
    [TestCase("127.0.0.1: 1")]
    [TestCase("::1:9401")]
    [TestCase("[127.0.0.1]:9401")]
    [TestCase("[]:9401")]
    [TestCase("example.com:9401")]
    [TestCase("unix:///run/x")]
    public void All_else_is_refused_with_what_to_type(string text) =>
        Assert.That(
            () => ListenAddress.Read(text),
            Throws.TypeOf<UserException>().With.Message.EndsWith("type ADDRESS:PORT, such as 127.0.0.1:9401")
        );

    [Test]
    public void A_long_value_is_cut_and_cannot_move_the_cursor() =>
        Assert.That(
            () => ListenAddress.Read("\e[2J" + new string('x', 9999)),
            Throws.TypeOf<UserException>().With.Message.Length.LessThan(160).And.Message.Not.Contains('\e')
        );
}
