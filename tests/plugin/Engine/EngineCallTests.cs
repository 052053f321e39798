// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Text;
using Docker.DotNet;
using Microsoft.AspNetCore.Http;
using NUnit.Framework;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Engine;

/// <summary>What the package does with a call goes through the plugin's own transport, and what it cannot do is done
/// here.</summary>
sealed class EngineCallTests
{
    const string StatHeader = "X-Docker-Container-Path-Stat";
    static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(300);

    FakeEngine _engine = null!;

    [SetUp]
    public async Task SetUp() => _engine = await FakeEngine.StartAsync();

    [TearDown]
    public async Task TearDown() => await _engine.DisposeAsync();

    static void AddStat(HttpContext http) =>
        http.Response.Headers[StatHeader] = Convert.ToBase64String(
            """{"name":"etc","size":1,"mode":420,"mtime":"2026-11-20T12:00:00Z","linkTarget":""}"""u8
        );

    static readonly TestCaseData[] Beyond =
    [
        new("""{"Id":"x","Config":{"StopTimeout":1000000000000,"User":"1"},"Mounts":[{"Type":"bind","RW":true}]}""")
        {
            TestName = "{m}: a stop timeout of 10^12 s",
        },
        new(
            """{"Id":"x","Config":{"User":"1"},"HostConfig":{"RestartPolicy":{"Name":"sometimes"}},"Mounts":[{"Type":"bind","RW":true}]}"""
        )
        {
            TestName = "{m}: a restart policy that is new",
        },
        new("""{"Id":"x","Config":{"User":"1"},"Mounts":[{"Type":"bind"}]}""")
        {
            TestName = "{m}: a mount that does not say whether it is writable",
        },
    ];

    /// <summary>Each of them is what a container can be made to say of itself, or what an engine may leave
    /// out.</summary>
    [TestCaseSource(nameof(Beyond))]
    public async Task A_container_is_inspected_whatever_it_says(string json)
    {
        _engine.On("GET /containers/x/json", json);
        using var client = _engine.Client();
        var container = (await client.InspectContainerAsync("x", default))!;
        Assert.That((container.Id, container.Config.User, container.Mounts.Single().Rw), Is.EqualTo(("x", "1", true)));
    }

    /// <summary>Why containers are read by models of the plugin's own. A version of the package that passes here may
    /// take over.</summary>
    [TestCaseSource(nameof(Beyond))]
    public async Task The_package_reads_no_container_that_says_so(string json)
    {
        _engine.On("GET /containers/x/json", json);
        using var docker = new DockerClientBuilder()
            .WithEndpoint(new Uri($"unix://{_engine.Socket}"))
            .WithApiVersion(new(1, 41))
            .Build();
        var isRead = true;
        try
        {
            isRead = (await docker.Containers.InspectContainerAsync("x")).Mounts.Single().RW;
        }
        catch (Exception e) when (e is not DockerApiException)
        {
            isRead = false;
        }
        Assert.That(isRead, Is.False);
    }

    /// <summary>The same of images: RFC 3339 has more times than the package does.</summary>
    [Test]
    public async Task An_image_is_inspected_whatever_its_date()
    {
        _engine.On(
            "GET /images/x/json",
            """{"Id":"sha256:1","Created":"0000-01-01T00:00:00+20:00","Config":{"Labels":{"gpu-memory":"0.5"},"Env":["LD_PRELOAD=/x"]}}"""
        );
        using var client = _engine.Client();
        Assert.That((await client.InspectImageAsync("x", default))!.Config!.Labels!["gpu-memory"], Is.EqualTo("0.5"));
        using var docker = new DockerClientBuilder()
            .WithEndpoint(new Uri($"unix://{_engine.Socket}"))
            .WithApiVersion(new(1, 41))
            .Build();
        Assert.That(() => docker.Images.InspectImageAsync("x"), Throws.Exception);
    }

    [TestCase(1L << 40)]
    [TestCase(long.MaxValue)]
    [TestCase(long.MinValue)]
    public async Task A_container_may_ask_for_any_number_of_GPUs(long count)
    {
        _engine.On(
            "GET /containers/x/json",
            $$"""{"Id":"x","HostConfig":{"DeviceRequests":[{"Driver":"","Count":{{count}},"Capabilities":[["gpu"]]}]} }"""
        );
        using var client = _engine.Client();
        Assert.That(
            (await client.InspectContainerAsync("x", default))!.HostConfig.DeviceRequests![0].Count,
            Is.EqualTo(count)
        );
    }

    static readonly Dictionary<string, (Func<EngineClient, string, Task> Call, string Path)> ByName = new()
    {
        ["inspect"] = ((client, name) => client.InspectContainerAsync(name, default), "GET /containers/*/json"),
        ["glance"] = ((client, name) => client.GlanceAtContainerAsync(name, default), "GET /containers/*/json"),
        ["archive"] = (
            (client, name) => client.GetArchiveAsync(name, "/", 10, default),
            "GET /containers/*/archive?path=%2F"
        ),
        ["stat"] = ((client, name) => client.StatAsync(name, "/", default), "HEAD /containers/*/archive?path=%2F"),
        ["put"] = (
            (client, name) => client.PutArchiveAsync(name, "/", new byte[1], default),
            "PUT /containers/*/archive?path=%2F"
        ),
        ["stop"] = (
            (client, name) => client.StopContainerAsync(name, TimeSpan.FromSeconds(1), default),
            "POST /containers/*/stop?t=1"
        ),
        ["remove"] = ((client, name) => client.RemoveContainerAsync(name, default), "DELETE /containers/*?v=1"),
        ["image"] = ((client, name) => client.InspectImageAsync(name, default), "GET /images/*/json"),
        ["volume"] = ((client, name) => client.VolumeHostPathsAsync(name, default), "GET /volumes/*"),
        ["network"] = ((client, name) => client.NetworkNameAsync(name, default), "GET /networks/*"),
        ["plugin"] = ((client, name) => client.PluginNameAsync(name, default), "GET /plugins/*/json"),
        ["lost sources"] = ((client, name) => client.LostSourcesAsync(name, default), "GET /plugins/*/json"),
        ["exec"] = ((client, name) => client.InspectExecAsync(name, default), "GET /exec/*/json"),
        ["service"] = ((client, name) => client.PreviousServiceAsync(name, default), "GET /services/*"),
    };

    static IEnumerable<string> Calls => ByName.Keys;

    [TestCaseSource(nameof(Calls))]
    public void A_name_of_dots_makes_no_call(string call)
    {
        using var client = _engine.Client();
        foreach (var name in (string[])["", ".", ".."])
            Assert.That(
                async () => await ByName[call].Call(client, name),
                Throws.InstanceOf<EngineException>().With.Message.Contains("names no object"),
                name
            );
        Assert.That(_engine.Calls, Is.Empty);
    }

    [TestCaseSource(nameof(Calls))]
    public async Task A_name_stays_one_part_of_the_path(string call)
    {
        using var client = _engine.Client();
        var (make, path) = ByName[call];
        foreach (
            var name in call == "image"
                ? (string[])["a?b#c", "%2e%2e", @"..\x", "é"]
                : ["../x", "a/../../b", "%2e%2e", "..%2fx", @"..\x", "a?b#c&d", "é"]
        )
        {
            try
            {
                await make(client, name);
            }
            catch (EngineException) { } // a command to what is not there
            Assert.That(
                _engine.Calls.Last(),
                Is.EqualTo(
                    path.Replace(" /", " /v1.41/", StringComparison.Ordinal)
                        .Replace("*", Uri.EscapeDataString(name), StringComparison.Ordinal)
                )
            );
        }
    }

    [TestCase(0, "t=0")]
    [TestCase(1.9, "t=1")]
    [TestCase(30, "t=30")]
    public async Task A_stop_says_how_long_it_may_take(double seconds, string query)
    {
        _engine.On("POST /containers/x/stop", "", 204);
        using var client = _engine.Client();
        await client.StopContainerAsync("x", TimeSpan.FromSeconds(seconds), default);
        Assert.That(_engine.Calls.Last(), Is.EqualTo($"POST /v1.41/containers/x/stop?{query}"));
    }

    /// <summary>The package throws away neither this answer nor its connection.</summary>
    [TestCase("GET", null)]
    [TestCase("GET", "%%%")]
    [TestCase("HEAD", null)]
    public async Task An_archive_without_its_header_ends_its_connection(string method, string? header)
    {
        var ended = new TaskCompletionSource();
        _engine.On(
            $"{method} /containers/x/archive",
            async http =>
            {
                if (header is not null)
                    http.Response.Headers[StatHeader] = header;
                if (method == "HEAD")
                {
                    ended.SetResult();
                    return;
                }
                await http.Response.WriteAsync("begin");
                await http.Response.Body.FlushAsync();
                try
                {
                    await Task.Delay(-1, http.RequestAborted);
                }
                catch (OperationCanceledException)
                {
                    ended.SetResult();
                }
            }
        );
        using var client = _engine.Client();
        Assert.That(
            async () =>
                await (
                    method == "GET"
                        ? (Task)client.GetArchiveAsync("x", "/", 1000, default)
                        : client.StatAsync("x", "/", default)
                ),
            Throws.InstanceOf<EngineException>()
        );
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Test]
    public async Task All_calls_go_over_one_connection_and_carry_the_secret()
    {
        var connections = new ConcurrentQueue<string>();
        RequestDelegate Answer(string json, int status = 200) =>
            async http =>
            {
                connections.Enqueue(http.Connection.Id);
                http.Response.StatusCode = status;
                if (status == 200 && http.Request.Path.Value!.EndsWith("/archive", StringComparison.Ordinal))
                    AddStat(http);
                if (status == 200)
                    await http.Response.WriteAsync(json);
            };
        _engine.On("GET /info", Answer("{}"));
        _engine.On("GET /containers/x/json", Answer("""{"Id":"x"}"""));
        _engine.On("GET /containers/x/archive", Answer("tar"));
        _engine.On("PUT /containers/x/archive", Answer(""));
        _engine.On("POST /containers/x/stop", Answer("", 304));
        _engine.On("GET /networks/gone", Answer("", 404));
        using var client = _engine.Client();
        for (var n = 0; n < 3; n++)
        {
            await client.InfoAsync(default);
            await client.InspectContainerAsync("x", default);
            Assert.That(await client.GetArchiveAsync("x", "/", 10, default), Is.EqualTo("tar"u8.ToArray()));
            await client.PutArchiveAsync("x", "/", new byte[1], default);
            await client.StopContainerAsync("x", TimeSpan.Zero, default);
            Assert.That(await client.NetworkNameAsync("gone", default), Is.Null);
        }
        Assert.That(connections.Distinct().Count(), Is.EqualTo(1));
        Assert.That(_engine.Headers.Where(headers => !_engine.Own.IsOwn(headers)), Is.Empty);
    }

    /// <summary>There are 128 places for small answers.</summary>
    [Test]
    public async Task Every_answer_gives_its_place_back()
    {
        _engine.On("GET /networks/good", """{"Name":"host"}""");
        _engine.On("GET /networks/garbled", """{"Name":[]}""");
        using var client = _engine.Client();
        for (var n = 0; n < 150; n++)
        {
            Assert.That(await client.NetworkNameAsync("good", default), Is.EqualTo("host"));
            Assert.That(
                () => client.NetworkNameAsync("garbled", default),
                Throws.InstanceOf<EngineException>().With.Message.StartsWith("GET networks/garbled: ")
            );
        }
    }

    [Test]
    public async Task An_answer_to_the_package_is_bounded()
    {
        var fits = """{"DefaultRuntime":"x"}""".PadRight(1000);
        _engine.On("GET /info", fits);
        using var client = _engine.Client(options => options with { MaxAnswerBytes = 1000 });
        Assert.That((await client.InfoAsync(default)).DefaultRuntime, Is.EqualTo("x"));
        _engine.On("GET /info", fits + " ");
        Assert.That(Assert.ThrowsAsync<EngineException>(() => client.InfoAsync(default))!.IsTooLong);
    }

    [Test]
    public void No_redirect_is_followed()
    {
        _engine.On(
            "GET /info",
            http =>
            {
                http.Response.Redirect("/v1.41/other");
                return Task.CompletedTask;
            }
        );
        _engine.On("GET /other", "{}");
        using var client = _engine.Client();
        Assert.That(
            () => client.InfoAsync(default),
            Throws.InstanceOf<EngineException>().With.Property("StatusCode").EqualTo(302)
        );
        Assert.That(_engine.Calls, Has.None.Contains("other"));
    }

    [Test]
    public async Task A_body_is_sent_again_to_an_older_engine()
    {
        var came = "";
        _engine.ApiVersion = "1.51";
        _engine.On("GET /info", "{}");
        _engine.On(
            "PUT /containers/x/archive",
            async http => came = await new StreamReader(http.Request.Body, Encoding.Latin1).ReadToEndAsync()
        );
        using var client = _engine.Client();
        await client.InfoAsync(default);
        _engine.ApiVersion = "1.41";
        await client.PutArchiveAsync("x", "/etc", "a tar"u8.ToArray(), default);
        Assert.That((came, _engine.Calls.Last()), Is.EqualTo(("a tar", "PUT /v1.41/containers/x/archive?path=%2Fetc")));
    }

    [Test]
    public void The_package_keeps_the_deadline_of_a_call()
    {
        _engine.On("GET /info", _ => Task.Delay(-1, _engine.Stopped));
        _engine.On(
            "GET /networks/slow",
            async http =>
            {
                await http.Response.WriteAsync("{");
                await http.Response.Body.FlushAsync();
                await Task.Delay(-1, _engine.Stopped);
            }
        );
        _engine.On(
            "GET /containers/x/archive",
            async http =>
            {
                AddStat(http);
                await http.Response.Body.FlushAsync();
                await Task.Delay(-1, _engine.Stopped);
            }
        );
        using var client = _engine.Client(options => options with { CallDeadline = Soon, ArchiveDeadline = Soon });
        foreach (
            var call in (Func<Task>[])
                [
                    () => client.InfoAsync(default),
                    () => client.NetworkNameAsync("slow", default),
                    () => client.GetArchiveAsync("x", "/", 10, default),
                ]
        )
            Assert.That(
                async () => await call(),
                Throws.InstanceOf<EngineException>().With.Message.Contains("no answer from the engine within 0.3 s")
            );
        using var cancel = new CancellationTokenSource(Soon);
        using var patient = _engine.Client();
        Assert.That(() => patient.InfoAsync(cancel.Token), Throws.InstanceOf<OperationCanceledException>());
    }
}
