// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Calls;
using Runai.GpuMemory.Admission.DryRun;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Admission;

/// <summary>What callers can make the authorizer keep, and for whom it has no time then.</summary>
sealed class BusyTests : AuthorizerFixture
{
    const string Exec = """{"Cmd":["true"]}""";

    sealed class Place : IDisposable
    {
        public bool IsFree { get; private set; }

        public void Dispose() => IsFree = true;
    }

    void UnderPolicy() => Write("""{"localSocket":"user","allowBindMounts":["/home"]}""");

    void Write(string policy)
    {
        System.IO.File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), policy);
        Services.GetRequiredService<PolicySource>().Refresh();
    }

    [TestCase("POST", "/containers/web/start")]
    [TestCase("POST", "/containers/web/restart?t=0")]
    [TestCase("POST", "/containers/web/rename?name=other")]
    [TestCase("POST", "/containers/web/attach?stream=1")]
    [TestCase("PUT", "/containers/web/archive?path=/")]
    [TestCase("GET", "/containers/web/archive?path=/")]
    [TestCase("GET", "/containers/web/export")]
    [TestCase("GET", "/containers/web/checkpoints")]
    [TestCase("POST", "/commit?container=web")]
    [TestCase("POST", "/exec/web/start", "{}")]
    [TestCase("POST", "/containers/web/exec", Exec)]
    [TestCase("POST", "/containers/web/checkpoints", "{}")]
    public async Task A_body_frees_its_place_before_the_answer(string method, string uri, string? body = null)
    {
        UnderPolicy();
        await IsPlaceFreeAsync(Call(method, uri, body), isFree: true);
    }

    static readonly string Long = new('x', 900_000);

    [TestCase("POST", $"/build?networkmode=container:{LikeId}&labels=")]
    [TestCase("POST", $"/build?labels=LONG&networkmode=container:{LikeId}&networkmode=container:{LikeId}")]
    public async Task A_build_with_a_long_URI_frees_its_place(string method, string uri)
    {
        UnderPolicy();
        await IsPlaceFreeAsync(Call(method, uri.Replace("LONG", Long, StringComparison.Ordinal)), isFree: true);
    }

    [TestCase("POST", "/containers/web/start")]
    [TestCase("GET", "/containers/web/export")]
    public async Task A_call_with_long_headers_frees_its_place(string method, string uri)
    {
        UnderPolicy();
        var call = Call(method, uri) with
        {
            RequestHeaders = new Dictionary<string, string> { ["X-Long"] = Long, ["content-type"] = Long },
        };
        await IsPlaceFreeAsync(call, isFree: true);
        Assert.That(
            (call.RequestHeaders!.Count, call.RequestHeaders["Content-Type"].Length, call.HasNoBody),
            Is.EqualTo((1, 256, false))
        );
    }

    [TestCase(AuthZRequest.MaxKeptBytes, true)]
    [TestCase(AuthZRequest.MaxKeptBytes + 1, false)]
    public async Task Only_short_bodies_wait_for_names(int length, bool waits)
    {
        UnderPolicy();
        Assert.That(await BeforeAsync(Call("POST", "/containers/create?name=moving", Good)), Is.EqualTo("allowed"));
        var exec = Call("POST", "/containers/moving/exec", Exec.PadRight(length));
        if (waits)
            await IsPlaceFreeAsync(exec, isFree: true);
        else
            Assert.That(await BeforeAsync(exec), Is.EqualTo("moving is being created or renamed: try again"));
        Assert.That(exec.RequestBody, Has.Length.EqualTo(length), "what it says is judged yet");
    }

    [TestCase("start", "{}")]
    [TestCase("restart?t=0", null)]
    [TestCase("rename?name=x", "{}")]
    public async Task A_dry_run_frees_its_place(string what, string? body)
    {
        UnderPolicy();
        await IsPlaceFreeAsync(
            Call("POST", $"/containers/web/{what}", body) with
            {
                RequestHeaders = new Dictionary<string, string> { [DryRunRequest.Header] = "call" },
            },
            isFree: true
        );
    }

    [TestCase(0, true)]
    [TestCase(1, false)]
    public async Task The_networks_of_a_build_are_bounded(int beyond, bool isAllowed)
    {
        UnderPolicy();
        var network = new string('n', (16 << 10) / 2);
        Assert.That(
            await BeforeAsync(
                Call(
                    "POST",
                    $"/build?networkmode={network}&labels={Long}&networkmode={network}{new string('n', beyond)}"
                )
            ),
            Is.EqualTo(
                isAllowed
                    ? "allowed"
                    : "the networks that this build call names are longer than 16384 characters: name one network"
            )
        );
    }

    [TestCase(0, true)]
    [TestCase(1, false)]
    public async Task The_path_of_a_build_is_bounded(int beyond, bool isAllowed)
    {
        var path = $"/v1.{new string('4', (16 << 10) - "/v1./build".Length + beyond)}/build";
        Assert.That(
            await BeforeAsync(Call("POST", $"{path}?labels={Long}")),
            Is.EqualTo(
                isAllowed ? "allowed" : "the URI of this call is longer than 16384 characters: shorten what it names"
            )
        );
    }

    /// <summary>While the engine is asked about it.</summary>
    async Task IsPlaceFreeAsync(AuthZRequest call, bool isFree)
    {
        Engine.Hangs = true;
        using var place = new Place();
        call.Place = place;
        using var cancel = new CancellationTokenSource();
        var answer = Authorizer.BeforeAsync(call, cancel.Token).AsTask();
        Assert.That((answer.IsCompleted, place.IsFree), Is.EqualTo((false, isFree)));
        await cancel.CancelAsync();
        Assert.That(async () => await answer, Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task Commits_of_a_hanging_container_count_as_its_calls()
    {
        UnderPolicy();
        Engine.HangsAt = "inspect hangs";
        using var cancel = new CancellationTokenSource();
        var commit = Call("POST", "/commit?container=hangs");
        var waiting = Enumerable
            .Range(0, JudgedCalls.MaxPerContainer)
            .Select(_ => Authorizer.BeforeAsync(commit, cancel.Token).AsTask())
            .ToArray();
        Assert.That(await BeforeAsync(commit), Does.StartWith("50 calls for hangs wait for the engine"));
        await cancel.CancelAsync();
        Assert.That(async () => await Task.WhenAll(waiting), Throws.InstanceOf<OperationCanceledException>());
    }

    const string Other = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    /// <summary>All callers on the socket are one for the plugin: without that they would have no room left.</summary>
    [TestCase("POST", "/containers/create", """{"Image":"x","HostConfig":{"NetworkMode":"container:NAME"}}""")]
    [TestCase("POST", "/containers/create", """{"Image":"x","HostConfig":{"Links":["NAME:db"]}}""")]
    [TestCase("POST", "/build?networkmode=container:NAME", null)]
    [TestCase("POST", "/exec/of-NAME/start", "{}")]
    public async Task Calls_count_wherever_they_name_a_hanging_container(string method, string uri, string? body)
    {
        UnderPolicy();
        foreach (var name in (string[])[LikeId, Other])
            Engine.Execs["of-" + name] = new() { ContainerId = name, ProcessConfig = new(false) };
        AuthZRequest Naming(string name) =>
            Call(
                method,
                uri.Replace("NAME", name, StringComparison.Ordinal),
                body?.Replace("NAME", name, StringComparison.Ordinal)
            );
        Engine.HangsAt = "inspect " + LikeId;
        using var cancel = new CancellationTokenSource();
        var waiting = Enumerable
            .Range(0, JudgedCalls.MaxPerContainer)
            .Select(_ => Authorizer.BeforeAsync(Naming(LikeId), cancel.Token).AsTask())
            .ToArray();
        Assert.That(await BeforeAsync(Naming(LikeId)), Does.StartWith("50 calls for "));
        Assert.That(await BeforeAsync(Naming(Other)), Is.EqualTo("allowed"), "the engine says that there is none");
        await cancel.CancelAsync();
        Assert.That(async () => await Task.WhenAll(waiting), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task Starts_of_a_hanging_container_hold_up_no_other()
    {
        Have("0.5");
        Engine.HangsAt = "inspect hangs";
        using var cancel = new CancellationTokenSource();
        var waiting = Enumerable
            .Range(0, JudgedCalls.MaxPerContainer)
            .Select(i => Authorizer.BeforeAsync(Call("POST", "/containers/hangs/start"), cancel.Token).AsTask())
            .ToArray();
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/hangs/start")),
            Does.StartWith("50 calls for hangs wait for the engine")
        );
        Assert.That(
            Log.Lines[^1],
            Does.StartWith("denied ContainerStart user= container=hangs ").And.Contains("rule=engine")
        );
        Assert.That(await BeforeAsync(Call("POST", "/containers/other/start")), Is.EqualTo("allowed"));
        Assert.That(
            (
                await Authorizer.AfterAsync(
                    Call("POST", "/containers/hangs/start") with
                    {
                        ResponseStatusCode = 500,
                    },
                    default
                )
            ).Allow,
            "what the engine did is told all the same"
        );
        await cancel.CancelAsync();
        foreach (var start in waiting)
            Assert.That(async () => await start, Throws.InstanceOf<OperationCanceledException>());
        Engine.HangsAt = null;
        Assert.That(await BeforeAsync(Call("POST", "/containers/hangs/start")), Is.EqualTo("allowed"));
    }

    [TestCase("POST", "start", 0, true)]
    [TestCase("POST", "start", 1, false)]
    [TestCase("GET", "json", 1, true)]
    public async Task URIs_are_bounded(string method, string what, int beyond, bool isAllowed)
    {
        var length = CallBounds.MaxUriLength - "/containers//".Length - what.Length + beyond;
        var uri = $"/containers/{new string('x', length)}/{what}";
        Assert.That(
            await BeforeAsync(Call(method, uri)),
            Is.EqualTo(
                isAllowed ? "allowed" : "the URI of this call is longer than 16384 characters: shorten what it names"
            )
        );
    }

    [TestCase(256, true)]
    [TestCase(257, false)]
    public async Task Certificate_names_are_bounded(int length, bool isAllowed) =>
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/x/start", user: new string('u', length))),
            Is.EqualTo(
                isAllowed
                    ? "allowed"
                    : "the common name of your TLS client certificate is longer than 256 characters: use a "
                        + "certificate with a shorter one"
            )
        );

    [TestCase("dave lee", "\"dave lee\"")]
    [TestCase("LONG", "\"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu…\"")]
    public async Task The_log_quotes_the_caller_of_a_long_call(string user, string logged)
    {
        await BeforeAsync(
            Call(
                "POST",
                $"/containers/{new string('x', CallBounds.MaxUriLength)}/start",
                user: user.Replace("LONG", new string('u', 1 << 20), StringComparison.Ordinal)
            )
        );
        Assert.That(Log.Lines[^1], Does.StartWith($"denied ContainerStart user={logged} "));
    }

    const string LikeId = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    const string None = "",
        File = "{}",
        Audit = """{"mode":"audit"}""";

    /// <summary>The engine looks for an ID first: a call by that of a container that is gone would start the one that
    /// is called so. A name goes before the beginning of an ID, which matters where callers differ.</summary>
    [TestCase(None, LikeId, false)]
    [TestCase(None, $"%2F{LikeId}", false)]
    [TestCase(None, $"{LikeId}0", true)]
    [TestCase(None, "202411301234", true)]
    [TestCase(File, LikeId, false)]
    [TestCase(File, $"{LikeId}0", true)]
    [TestCase(File, "0123456789a", true)]
    [TestCase(File, "0123456789ab", false)]
    [TestCase(File, "%2F202411301234", false)]
    [TestCase(File, "20241130-1234", true)]
    [TestCase(Audit, LikeId, false)]
    [TestCase(Audit, "0123456789ab", true)]
    public async Task No_container_gets_a_name_like_an_ID(string file, string name, bool isAllowed)
    {
        if (file.Length > 0)
            Write(file);
        foreach (
            var uri in (string[])
                [
                    $"/containers/create?name={name}",
                    $"/containers/create?platform=x&name={name}",
                    $"/containers/web/rename?name={name}",
                ]
        )
        {
            Assert.That(Authorizer.NeedsDecision("POST", uri));
            Assert.That(
                await BeforeAsync(Call("POST", uri, uri.Contains("create", StringComparison.Ordinal) ? Good : null)),
                isAllowed
                    ? Is.EqualTo("allowed")
                    : Does.Match(
                        "^the name [0-9a-f]+ has the form of (a container's ID [(]64|the beginning of a "
                            + "container's ID [(]12 to 64) hexadecimal digits[)]: take another one, with a letter"
                    )
            );
            if (file == Audit && name.Length < LikeId.Length)
                Assert.That(Log.Lines[^1], Does.Contain("has the form of the beginning of a container's ID"));
        }
    }

    [TestCase(255, true)]
    [TestCase(256, false)]
    public async Task Makers_of_overlong_volume_names_are_not_kept(int length, bool isKept)
    {
        UnderPolicy();
        var name = new string('v', length);
        await BeforeAsync(
            Call("POST", "/volumes/create", $$"""{"Name":"{{name}}","Driver":"runai/gpu-memory"}""", "alice")
        );
        Assert.That(
            Services.GetRequiredService<Runai.GpuMemory.Volumes.VolumeMakers>().Take(name),
            Is.EqualTo(isKept ? "alice" : null)
        );
    }

    [Test]
    public async Task Makers_of_invalid_volume_names_are_not_kept()
    {
        UnderPolicy();
        await BeforeAsync(Call("POST", "/volumes/create", """{"Name":"a b","Driver":"runai/gpu-memory"}""", "alice"));
        Assert.That(Services.GetRequiredService<Runai.GpuMemory.Volumes.VolumeMakers>().Take("a b"), Is.Null);
    }
}
