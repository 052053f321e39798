// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;

namespace Runai.GpuMemory.Tests.Protocol;

[NonParallelizable]
sealed class ProtocolTests
{
    PluginUnderTest _plugin = null!;
    RawHttp _engine = null!;

    [SetUp]
    public async Task Start()
    {
        _plugin = await PluginUnderTest.StartAsync();
        _engine = new(_plugin.Socket);
    }

    [TearDown]
    public async Task Stop()
    {
        _engine.Dispose();
        await _plugin.DisposeAsync();
    }

    [TestCase("Plugin.Activate", "", """{"Implements":["VolumeDriver","authz"]}""")]
    [TestCase("VolumeDriver.Capabilities", "{}", """{"Err":"","Capabilities":{"Scope":"local"}}""")]
    [TestCase("VolumeDriver.Create", """{"Name":"half","Opts":{"gpu-memory":"0.5"}}""", """{"Err":""}""")]
    [TestCase("VolumeDriver.Create", """{"Name":"half","Opts":null}""", """{"Err":""}""")]
    [TestCase(
        "VolumeDriver.Get",
        """{"Name":"runai"}""",
        """{"Err":"","Volume":{"Name":"runai","Mountpoint":"/var/lib/runai/v","CreatedAt":"1970-01-01T00:00:00+00:00","Status":{"gpu-memory":"0.5","Time":null}}}"""
    )]
    [TestCase("VolumeDriver.Get", """{"Name":"data"}""", """{"Err":"there is no volume data"}""")]
    [TestCase(
        "VolumeDriver.List",
        "{}",
        """{"Err":"","Volumes":[{"Name":"runai","Mountpoint":"/var/lib/runai/v","CreatedAt":"1970-01-01T00:00:00+00:00"}]}"""
    )]
    [TestCase(
        "VolumeDriver.List",
        "",
        """{"Err":"","Volumes":[{"Name":"runai","Mountpoint":"/var/lib/runai/v","CreatedAt":"1970-01-01T00:00:00+00:00"}]}"""
    )]
    [TestCase("VolumeDriver.Path", """{"Name":"runai"}""", """{"Err":"","Mountpoint":"/var/lib/runai/v"}""")]
    [TestCase("VolumeDriver.Path", """{"Name":"runai-status"}""", """{"Err":"it is read"}""")]
    [TestCase("VolumeDriver.Path", """{"Name":"data"}""", """{"Err":"there is no volume data"}""")]
    [TestCase(
        "VolumeDriver.Mount",
        """{"Name":"runai","ID":"b87d7442095999a9"}""",
        """{"Err":"","Mountpoint":"/var/lib/runai/b87d7442095999a9"}"""
    )]
    [TestCase("VolumeDriver.Unmount", """{"Name":"runai","ID":"b87d7442095999a9"}""", """{"Err":""}""")]
    [TestCase("VolumeDriver.Remove", """{"Name":"half"}""", """{"Err":""}""")]
    [TestCase(
        "AuthZPlugin.AuthZReq",
        """{"RequestMethod":"GET","RequestUri":"/_ping"}""",
        """{"Allow":true,"Msg":"","Err":""}"""
    )]
    [TestCase(
        "AuthZPlugin.AuthZRes",
        """{"RequestMethod":"GET","RequestUri":"/_ping","ResponseStatusCode":200}""",
        """{"Allow":true,"Msg":"","Err":""}"""
    )]
    [TestCase(
        "AuthZPlugin.AuthZReq",
        """{"RequestMethod":"GET","RequestUri":"/_ping","Added":{"in":["29"]},"RequestPeerCertificates":["MII="]}""",
        """{"Allow":true,"Msg":"","Err":""}"""
    )]
    public void Every_call_is_answered_as_documented(string method, string body, string answer) =>
        Assert.That(_engine.Call(method, body), Is.EqualTo((200, answer)));

    [Test]
    public void Calls_reach_the_services_whole()
    {
        _engine.Call("VolumeDriver.Create", """{"Name":"half","Opts":{"gpu-memory":"0.5"}}""");
        _engine.Call("VolumeDriver.Mount", """{"Name":"half","ID":"1"}""");
        _engine.Call("VolumeDriver.Unmount", """{"Name":"half","ID":"1"}""");
        _engine.Call("VolumeDriver.Remove", """{"Name":"half"}""");
        _engine.Call(
            "AuthZPlugin.AuthZRes",
            """{"User":"alice","UserAuthNMethod":"TLS","RequestMethod":"POST","RequestUri":"/v1.41/containers/create?name=x","RequestBody":"e30=","RequestHeaders":{"Content-Type":"application/json"},"ResponseStatusCode":201,"ResponseBody":"eyJJZCI6IjEifQ=="}"""
        );
        Assert.That(
            _plugin.Asked,
            Is.EqualTo(
                new[]
                {
                    "create half gpu-memory=0.5",
                    "mount half 1",
                    "unmount half 1",
                    "remove half",
                    "after POST /v1.41/containers/create?name=x",
                }
            )
        );
        var call = _plugin.LastCall!;
        Assert.That((call.User, call.UserAuthNMethod, call.ResponseStatusCode), Is.EqualTo(("alice", "TLS", 201)));
        Assert.That(
            (Encoding.UTF8.GetString(call.RequestBody!), Encoding.UTF8.GetString(call.ResponseBody!)),
            Is.EqualTo(("{}", """{"Id":"1"}"""))
        );
        Assert.That(call.RequestHeaders, Contains.Key("Content-Type").WithValue("application/json"));
    }

    [Test]
    public void Refusals_of_the_services_are_answers()
    {
        _plugin.Refusal = "no \"room\"";
        Assert.That(
            _engine.Call("AuthZPlugin.AuthZReq", "{}"),
            Is.EqualTo((200, """{"Allow":false,"Msg":"no \u0022room\u0022","Err":""}"""))
        );
        Assert.That(
            _engine.Call("VolumeDriver.Mount", """{"Name":"runai","ID":"1"}"""),
            Is.EqualTo((200, """{"Err":"no \u0022room\u0022"}"""))
        );
        Assert.That(_engine.Call("VolumeDriver.Create", """{"Name":"runai"}""").Body, Does.Contain("room"));
        Assert.That(_engine.Call("VolumeDriver.Unmount", """{"Name":"runai","ID":"1"}""").Body, Does.Contain("room"));
        Assert.That(_engine.Call("VolumeDriver.Remove", """{"Name":"runai"}""").Body, Does.Contain("room"));
    }

    /// <summary>Such a header makes any call that changes something the authorizer's concern, wherever it
    /// stands.</summary>
    [TestCase("""{"RequestMethod":"POST","RequestUri":"/_ping","RequestHeaders":{"X-Gpu-Memory-Ask":"call"}}""", true)]
    [TestCase(
        """{"RequestMethod":"POST","RequestUri":"/_ping","RequestBody":"LONG","RequestHeaders":{"A":"b","x-gpu-memory-ask":""}}""",
        true
    )]
    [TestCase("""{"RequestMethod":"POST","RequestUri":"/_ping","RequestHeaders":{"A":"X-Gpu-Memory-Ask"}}""", false)]
    [TestCase("""{"RequestMethod":"POST","RequestUri":"/_ping","RequestHeaders":{}}""", false)]
    [TestCase("""{"RequestMethod":"POST","RequestUri":"/_ping"}""", false)]
    [TestCase("""{"RequestMethod":"GET","RequestUri":"/_ping","RequestHeaders":{"X-Gpu-Memory-Ask":"call"}}""", false)]
    public void Every_dry_run_is_judged(string call, bool reaches)
    {
        call = call.Replace("LONG", new string('A', 3_000_000), StringComparison.Ordinal);
        _engine.Call("AuthZPlugin.AuthZReq", call);
        Assert.That(_plugin.Asked, Has.Count.EqualTo(reaches ? 1 : 0));
        _engine.Call("AuthZPlugin.AuthZRes", call);
        Assert.That(_plugin.Asked, Has.Count.EqualTo(reaches ? 1 : 0), "after it nothing is to be done");
    }

    [Test]
    public void Unrelated_calls_are_allowed_by_their_first_bytes()
    {
        var call =
            $$"""{"User":"alice","RequestMethod":"GET","RequestUri":"/_ping","RequestBody":"{{new string('A', 3_000_000)}}"}""";
        for (var i = 0; i < 3; i++)
            Assert.That(
                _engine.Call("AuthZPlugin.AuthZReq", call),
                Is.EqualTo((200, """{"Allow":true,"Msg":"","Err":""}"""))
            );
        Assert.That(_plugin.Asked, Is.Empty);
        _engine.Call("AuthZPlugin.AuthZReq", call.Replace("/_ping", "/commit", StringComparison.Ordinal));
        Assert.That(_plugin.Asked, Is.EqualTo(new[] { "before GET /commit" }));
    }

    [Test]
    public void A_call_that_waits_holds_up_no_other()
    {
        using var asked = new CountdownEvent(2);
        using var go = new ManualResetEventSlim();
        _plugin.Work = () =>
        {
            asked.Signal();
            go.Wait();
        };
        var waiting = Enumerable.Range(0, asked.InitialCount).Select(_ => new RawHttp(_plugin.Socket)).ToList();
        var answers = waiting.ConvertAll(client =>
            Task.Factory.StartNew(
                () => client.Call("VolumeDriver.Mount", """{"Name":"runai","ID":"1"}""").Status,
                TaskCreationOptions.LongRunning
            )
        );
        try
        {
            Assert.That(asked.Wait(TimeSpan.FromSeconds(30)), "all of them wait at once");
            Assert.That(
                _engine.Call("AuthZPlugin.AuthZReq", """{"RequestMethod":"GET","RequestUri":"/_ping"}""").Status,
                Is.EqualTo(200)
            );
        }
        finally
        {
            go.Set();
            Assert.That(Task.WhenAll(answers).Result, Is.All.EqualTo(200));
            waiting.ForEach(client => client.Dispose());
        }
    }

    [TestCase("""{"RequestMethod":"GET"}""")]
    [TestCase("""{"RequestMethod":null,"RequestUri":"/_ping"}""")]
    [TestCase("{}")]
    public void Calls_that_the_first_bytes_leave_open_are_judged(string call)
    {
        _engine.Call("AuthZPlugin.AuthZReq", call);
        Assert.That(_plugin.Asked, Has.Count.EqualTo(1));
    }

    static readonly string[] Malformed =
    [
        "{",
        "null",
        "[]",
        "7",
        "\"x\"",
        """{"Name":7,"RequestMethod":7}""",
        """{"RequestBody":"***","Opts":[]}""",
        "{}{}",
        "\u0000",
        """{"Opts":{"a":{}},"RequestHeaders":{"a":{}}}""",
        "{\"Name\":\"\\ud800\",\"RequestMethod\":\"\\ud800\"}",
    ];

    [TestCaseSource(nameof(Malformed))]
    public void A_malformed_body_is_answered_with_status_200(string body)
    {
        Assert.That(
            _engine.Call("AuthZPlugin.AuthZReq", body),
            Is.EqualTo(
                (
                    200,
                    """{"Allow":false,"Msg":"/AuthZPlugin.AuthZReq: the engine\u0027s call cannot be read","Err":""}"""
                )
            )
        );
        Assert.That(
            _engine.Call("VolumeDriver.Create", body),
            Is.EqualTo((200, """{"Err":"/VolumeDriver.Create: the engine\u0027s call cannot be read"}"""))
        );
        Assert.That(_plugin.Asked, Is.Empty);
    }

    /// <summary>Where its URI is none of a build's.</summary>
    [TestCase("", "POST /containers/x/start?")]
    [TestCase("LONG", " ")]
    public void An_unread_call_is_known_by_its_first_bytes(string query, string asked)
    {
        var call =
            $$"""{"User":"alice","RequestMethod":"POST","RequestUri":"/containers/x/start?{{query.Replace("LONG", new string('A', 2100), StringComparison.Ordinal)}}","RequestHeaders":{"a":7} }""";
        Assert.That(_engine.Call("AuthZPlugin.AuthZReq", call).Body, Does.StartWith("{\"Allow\":false"));
        Assert.That(_plugin.NotRead, Is.EqualTo(new[] { asked }));
    }

    [Test]
    public void Bytes_that_are_no_text_are_a_denial() =>
        Assert.That(
            _engine.Call("AuthZPlugin.AuthZReq", [.. "{\"RequestMethod\":\""u8, 0xff, 0xfe, .. "\"}"u8]).Body,
            Does.Contain("\"Allow\":false")
        );

    [TestCase("Create")]
    [TestCase("Get")]
    [TestCase("Path")]
    [TestCase("Remove")]
    [TestCase("Mount")]
    [TestCase("Unmount")]
    public void A_volume_call_that_names_no_volume_is_an_error(string method)
    {
        var missing = method is "Mount" or "Unmount" ? " or no ID" : "";
        foreach (var body in new[] { "", "{}", """{"Name":""}""", """{"Name":null}""" })
            Assert.That(
                _engine.Call("VolumeDriver." + method, body),
                Is.EqualTo((200, $$"""{"Err":"/VolumeDriver.{{method}}: the engine named no volume{{missing}}"}"""))
            );
        Assert.That(_plugin.Asked, Is.Empty);
    }

    [Test]
    public void A_mount_without_an_ID_is_an_error() =>
        Assert.That(_engine.Call("VolumeDriver.Mount", """{"Name":"runai"}""").Body, Does.Contain("no ID"));

    [Test]
    public void An_empty_retry_reaches_the_authorizer()
    {
        _engine.Call("AuthZPlugin.AuthZReq", "");
        Assert.That(
            (_plugin.LastCall!.RequestMethod, _plugin.LastCall.RequestUri),
            Is.EqualTo(((string?)null, (string?)null))
        );
    }

    [Test]
    public void An_unknown_method_is_not_found() =>
        Assert.That(
            _engine.Call("VolumeDriver.Snapshot", "{}"),
            Is.EqualTo((404, """{"Err":"this plugin has no such method"}"""))
        );

    [Test]
    public void A_bug_denies_calls_but_hides_no_answer()
    {
        _plugin.Bug = new InvalidOperationException("secret detail");
        Assert.That(
            _engine.Call("AuthZPlugin.AuthZReq", "{}"),
            Is.EqualTo(
                (200, """{"Allow":false,"Msg":"/AuthZPlugin.AuthZReq: an error in the plugin, see its log","Err":""}""")
            )
        );
        Assert.That(
            _engine.Call("AuthZPlugin.AuthZReq", """{"RequestMethod":"GET","RequestUri":"/_ping"}""").Body,
            Does.Contain("an error in the plugin")
        );
        Assert.That(
            _engine.Call("AuthZPlugin.AuthZRes", "{}"),
            Is.EqualTo((200, """{"Allow":true,"Msg":"","Err":""}"""))
        );
        Assert.That(
            _engine.Call("VolumeDriver.Mount", """{"Name":"runai","ID":"1"}"""),
            Is.EqualTo((200, """{"Err":"/VolumeDriver.Mount: an error in the plugin, see its log"}"""))
        );
    }

    [Test]
    public void A_full_disk_is_not_a_malformed_call()
    {
        _plugin.Bug = new IOException("No space left on device");
        Assert.That(
            _engine.Call("VolumeDriver.Create", """{"Name":"half"}""").Body,
            Does.StartWith(
                """{"Err":"the GPU memory plugin could not use its own files (No space left on device): an admin has to"""
            )
        );
        Assert.That(
            _engine.Call("AuthZPlugin.AuthZReq", "{}").Body,
            Does.Contain("could not use its own files").And.Contain("\"Allow\":false")
        );
        _plugin.Bug = new UnauthorizedAccessException("Read-only file system");
        Assert.That(
            _engine.Call("VolumeDriver.Create", """{"Name":"half"}""").Body,
            Does.Contain("could not use its own files (Read-only file system)")
        );
    }

    [Test]
    public void A_type_that_failed_to_initialize_ends_the_process()
    {
        _plugin.Bug = new TypeInitializationException("Types", new InvalidOperationException());
        Assert.That(
            _engine.Call("VolumeDriver.Remove", """{"Name":"runai"}""").Body,
            Does.Contain("an error in the plugin, see its log")
        );
        Assert.That(_plugin.IsEnding, Is.False, "it is as broken after a restart");
        _plugin.Bug = new TypeInitializationException("Types", new InsufficientMemoryException());
        Assert.That(
            _engine.Call("VolumeDriver.Remove", """{"Name":"runai"}""").Body,
            Does.Contain("the plugin had no memory left and starts again: try again")
        );
        Assert.That(_plugin.IsEnding);
    }

    [Test]
    public void A_request_body_of_4_MiB_arrives()
    {
        var body = new byte[4 << 20];
        Assert.That(
            _engine
                .Call(
                    "AuthZPlugin.AuthZReq",
                    $$"""{"RequestMethod":"POST","RequestBody":"{{Convert.ToBase64String(body)}}"}"""
                )
                .Body,
            Does.Contain("\"Allow\":true")
        );
        Assert.That(_plugin.LastCall!.RequestBody, Has.Length.EqualTo(4 << 20));
    }

    [Test]
    public void A_body_beyond_every_bound_is_denied_unread()
    {
        _engine.Send("POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: plugin\r\nContent-Length: 1000000000\r\n\r\n{");
        Assert.That(
            _engine.Receive(),
            Is.EqualTo(
                (
                    200,
                    """{"Allow":false,"Msg":"/AuthZPlugin.AuthZReq: the engine\u0027s call cannot be read","Err":""}"""
                )
            )
        );
    }

    [Test]
    public void A_body_in_chunks_is_read()
    {
        _engine.Send(
            "POST /VolumeDriver.Create HTTP/1.1\r\nHost: plugin\r\nTransfer-Encoding: "
                + "chunked\r\n\r\n8\r\n{\"Name\":\r\n7\r\n\"half\"}\r\n0\r\n\r\n"
        );
        Assert.That(_engine.Receive(), Is.EqualTo((200, """{"Err":""}""")));
        Assert.That(_plugin.Asked, Is.EqualTo(new[] { "create half " }));
    }

    [Test]
    public void A_client_that_hangs_up_hurts_no_other()
    {
        using (var other = new RawHttp(_plugin.Socket))
            other.Send("POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: plugin\r\nContent-Length: 100\r\n\r\n{");
        Assert.That(_engine.Call("AuthZPlugin.AuthZReq", "{}").Body, Does.Contain("true"));
    }
}
