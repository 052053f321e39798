// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Admission.Containers;

/// <summary>What the engine has to be asked for is asked for within bounds, and nothing is allowed because it was not
/// learnt in time.</summary>
sealed class CreateResolverTests : AuthorizerFixture
{
    Task<string> CreateAsync(string body) => BeforeAsync(Call("POST", "/v1.41/containers/create", body));

    static string From(int count, Func<int, string> name) =>
        """{"Image":"debian","HostConfig":{"VolumesFrom":[NAMES]}}""".Replace(
            "NAMES",
            Join(Enumerable.Range(0, count), i => $"\"{name(i)}\"")
        );

    static string Join(IEnumerable<int> numbers, Func<int, string> item) => string.Join(',', numbers.Select(item));

    int Inspected => Engine.Calls.Count(call => call.StartsWith("inspect ", StringComparison.Ordinal));

    [Test]
    public async Task One_container_of_many_volumes_from_is_asked_once()
    {
        Have("", driver: null);
        Assert.That(await CreateAsync(From(400, i => i % 2 == 0 ? "web" : "web:ro")), Is.EqualTo("allowed"));
        Assert.That(Inspected, Is.EqualTo(1));
    }

    [Test]
    public async Task Too_many_volumes_from_are_refused_before_any_question()
    {
        Assert.That(
            await CreateAsync(From(2000, i => $"c{i}")),
            Does.Contain("it has 2000 mounts and --volumes-from, and the GPU memory plugin judges at most 500")
        );
        Assert.That(Engine.Calls, Is.Empty);
    }

    [Test]
    public async Task Only_containers_that_lend_something_are_asked_for()
    {
        for (var n = 0; n < 10; n++)
            Engine.Containers[$"c{n}"] = new()
            {
                Id = $"c{n}",
                Mounts =
                [
                    .. Enumerable
                        .Range(0, 200)
                        .Select(i => new MountPoint
                        {
                            Type = "volume",
                            Name = $"v{i}",
                            Driver = "local",
                            Destination = $"/{n}/{i}",
                        }),
                ],
            };
        Assert.That(await CreateAsync(From(10, i => $"c{i}")), Does.Contain("mounts and --volumes-from"));
        Assert.That(Inspected, Is.LessThan(5));
    }

    [TestCase("/v1.41/containers/create", """{"Image":"debian","HostConfig":{"VolumesFrom":["web"]}}""")]
    [TestCase("/v1.41/services/create", """{"TaskTemplate":{"ContainerSpec":{"Image":"debian"}}}""")]
    [TestCase("/v1.41/containers/web/exec", """{"Env":["LD_PRELOAD=x"]}""")]
    public async Task No_body_is_held_while_the_engine_is_asked(string uri, string body)
    {
        using var place = new Place();
        var call = Call("POST", uri, body) with { Place = place };
        var asked = new List<(bool IsGone, bool IsGivenBack)>();
        Engine.OnCall = _ => asked.Add((call.RequestBody is null, place.IsGivenBack));
        await Authorizer.BeforeAsync(call, default);
        Assert.That(asked, Is.Not.Empty.And.All.EqualTo((true, true)));
    }

    sealed class Place : IDisposable
    {
        public bool IsGivenBack { get; private set; }

        public void Dispose() => IsGivenBack = true;
    }

    [TestCase("no answer in time")]
    public async Task A_create_with_unknown_lenders_is_refused(string problem)
    {
        Engine.OnCall = call =>
            Engine.Failure = call.StartsWith("inspect", StringComparison.Ordinal) ? new EngineException(problem) : null;
        Assert.That(
            await CreateAsync(From(1, _ => "web")),
            Does.Contain("could not learn from the engine in time what the containers of --volumes-from would add")
        );
    }

    [Test]
    public async Task A_service_with_an_unknown_image_is_refused()
    {
        const string Service = """{"TaskTemplate":{"ContainerSpec":{"Image":"cuda"}}}""";
        Engine.OnCall = call =>
            Engine.Failure = call.StartsWith("image", StringComparison.Ordinal)
                ? new EngineException("no answer in time")
                : null;
        Task<string> Make() => BeforeAsync(Call("POST", "/v1.41/services/create", Service));
        Assert.That(await Make(), Is.EqualTo("allowed"), "there is no rule that needs it");
        File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), """{ "requireQuota": true }""");
        ((PolicySource)Services.GetService(typeof(PolicySource))!).Refresh();
        Assert.That(await Make(), Does.Contain("could not learn from the engine in time what the image would add"));
    }

    [Test]
    public async Task An_unknown_default_runtime_counts_as_NVIDIAs()
    {
        File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), """{ "requireQuota": true }""");
        ((PolicySource)Services.GetService(typeof(PolicySource))!).Refresh();
        const string Cuda = """{"Image":"cuda","Env":["NVIDIA_VISIBLE_DEVICES=all"]}""";
        Engine.OnCall = call => Engine.Failure = call == "info" ? new EngineException("no answer in time") : null;
        Assert.That(await CreateAsync(Cuda), Does.Contain("needs a quota on this machine"));
        Engine.OnCall = null;
        Engine.Failure = null;
        Assert.That(await CreateAsync(Cuda), Is.EqualTo("allowed"), "it is runc");
    }

    [TestCase(500, true)]
    [TestCase(501, false)]
    public async Task Mounts_of_a_container_are_bounded(int mounts, bool isAllowed)
    {
        var parts = Enumerable.Range(0, mounts).ToLookup(i => i % 4);
        var body =
            """{"Image":"debian","Volumes":{VOLUMES},"HostConfig":{"Binds":[BINDS],"Mounts":[MOUNTS],"Tmpfs":{TMPFS}}}"""
                .Replace("VOLUMES", Join(parts[3], i => $"\"/v{i}\":{{}}"))
                .Replace("BINDS", Join(parts[0], i => $"\"/b{i}:/b{i}\""))
                .Replace("MOUNTS", Join(parts[1], i => $$"""{"Type":"bind","Source":"/m","Target":"/m{{i}}"}"""))
                .Replace("TMPFS", Join(parts[2], i => $"\"/t{i}\":\"\""));
        Assert.That(await CreateAsync(body), isAllowed ? Is.EqualTo("allowed") : Does.Contain("it has 501 mounts"));
    }

    [TestCase("""{"Image":"LONG"}""", "a text in Image is longer than 131072 bytes")]
    [TestCase("""{"Env":["LONG"]}""", "a text in Env is longer than 131072 bytes")]
    [TestCase("""{"Volumes":{"/LONG":{}}}""", "a text in Volumes is longer than 131072 bytes")]
    [TestCase("""{"HostConfig":{"CapAdd":["LONG"]}}""", "a text in HostConfig.CapAdd is longer than 131072 bytes")]
    [TestCase(
        """{"HostConfig":{"SecurityOpt":["HALF","HALF","HALF","HALF"]}}""",
        "HostConfig is longer than 262144 bytes"
    )]
    public async Task Overlong_texts_are_refused(string body, string problem) =>
        Assert.That(
            await CreateAsync(body.Replace("LONG", new('x', 200_000)).Replace("HALF", new('x', 100_000))),
            Does.Contain(problem)
        );
}
