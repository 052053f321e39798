// SPDX-License-Identifier: Apache-2.0
using System.Net.Sockets;
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Questions;

sealed class EngineSocketTests : ScriptFixture
{
    static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    readonly List<string> _asked = [];
    Socket? _listening;

    string SocketPath => Path.Combine(Folder, "docker.sock");

    [TearDown]
    public void Close()
    {
        _listening?.Dispose();
        _listening = null;
        _asked.Clear();
        File.Delete(SocketPath);
    }

    /// <summary>An engine that gives each call the same answer, and then closes the connection. Null: none.</summary>
    EngineSocket Engine(string? status, string body = "", TimeSpan? limit = null)
    {
        var listening = _listening = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(SocketPath));
        listening.Listen();
        if (status is not null)
            new Thread(() => Answer(listening, status, body)) { IsBackground = true }.Start();
        return new(SocketPath, limit ?? Limit);
    }

    void Answer(Socket listening, string status, string body)
    {
        try
        {
            while (true)
            {
                using var connection = listening.Accept();
                using var stream = new NetworkStream(connection);
                var request = new StreamReader(stream);
                _asked.Add(request.ReadLine()!);
                while (request.ReadLine() is { Length: > 0 }) { }
                stream.Write(
                    Encoding.UTF8.GetBytes(
                        $"HTTP/1.1 {status}\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n"
                            + $"Connection: close\r\n\r\n{body}"
                    )
                );
            }
        }
        catch (Exception e) when (e is SocketException or IOException or ObjectDisposedException) { }
    }

    [Test]
    public void The_status_is_read_without_docker()
    {
        using var engine = Engine("200 OK", """{"Name":"runai-status","Driver":"x","Status":{"Version":1}}""");
        Assert.That(engine.ReadStatus("runai-status").GetRawText(), Is.EqualTo("""{"Version":1}"""));
        Assert.That(engine.ReadStatus("runai-status.bob").GetRawText(), Is.EqualTo("""{"Version":1}"""));
        Assert.That(
            _asked,
            Is.EqualTo(["GET /volumes/runai-status HTTP/1.1", "GET /volumes/runai-status.bob HTTP/1.1"])
        );
    }

    [TestCase("""{"message":"denied by plugin p: no: docker volume inspect runai"}""", "docker volume inspect runai")]
    [TestCase("""{"message":null}""", "the engine said: ")]
    [TestCase("<html>", "is it a volume of the plugin?")]
    public void A_refusal_is_in_the_message(string body, string end)
    {
        using var engine = Engine("403 Forbidden", body);
        Assert.That(() => engine.ReadStatus("runai-status"), Throws.TypeOf<UserException>().With.Message.EndsWith(end));
    }

    [TestCase("{}")]
    [TestCase("""{"Name":"runai-status","Status":null}""")]
    [TestCase("[")]
    public void An_answer_without_a_status_is_none(string body)
    {
        using var engine = Engine("200 OK", body);
        Assert.That(
            () => engine.ReadStatus("runai-status"),
            Throws.TypeOf<UserException>().With.Message.Contains("has no Status")
        );
    }

    [Test]
    public void An_answer_that_is_too_long_is_refused()
    {
        var status = """{"Name":"runai-status","Status":{"Version":1}}""";
        using var engine = Engine("200 OK", status.PadRight((32 << 20) + 1));
        Assert.That(
            () => engine.ReadStatus("runai-status"),
            Throws.TypeOf<UserException>().With.Message.StartsWith("the engine gives no answer: ")
        );
    }

    [Test]
    public void An_engine_that_hangs_is_waited_for_in_bounds()
    {
        using var engine = Engine(null, limit: TimeSpan.FromMilliseconds(200));
        Assert.That(
            () => engine.ReadStatus("runai-status"),
            Throws.TypeOf<UserException>().With.Message.StartsWith("the engine gives no answer: ")
        );
    }

    [Test]
    public void Without_an_engine_there_is_no_answer()
    {
        using var engine = new EngineSocket(SocketPath, Limit);
        Assert.That(
            () => engine.ReadStatus("runai-status"),
            Throws.TypeOf<UserException>().With.Message.StartsWith("the engine gives no answer: ")
        );
    }

    [TestCase("echo unix:///run/docker.sock", true)]
    [TestCase("echo tcp://gpu1:2376", false)]
    [TestCase("echo ssh://gpu1", false)]
    [TestCase("echo unix:///run/docker.sock; exit 1", false)]
    [TestCase("exit 1", false)]
    public void Docker_says_whether_the_engine_has_a_socket_here(string script, bool has)
    {
        using var found = EngineSocket.Find(new DockerProcess(Word.Of(Docker(script))), Limit);
        Assert.That(found is not null, Is.EqualTo(has));
    }
}
