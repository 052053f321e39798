// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Admission.Starts;

/// <summary>What becomes of a container of docker run --rm whose start was refused: its client waits for its
/// removal.</summary>
sealed class LeftBehindTests : AuthorizerFixture
{
    const string Starting = $"/v1.41/containers/{Id}/start";

    void HaveLeft(string quota = "0.5", bool autoRemove = true, string status = "created") =>
        HaveLeftAs(Id, quota, autoRemove, status, DateTime.UtcNow.AddMilliseconds(-500));

    void HaveLeftAs(string id, string quota, bool autoRemove, string status, DateTime created)
    {
        Have(quota, status);
        Engine.Containers[id] = Engine.Containers[Id] with
        {
            Id = id,
            Created = created.ToString("o"),
            HostConfig = new() { AutoRemove = autoRemove },
        };
    }

    bool IsRemoved(string id = Id)
    {
        lock (Engine.Calls)
            return Engine.Calls.Contains($"remove {id}");
    }

    static async Task UntilAsync(Func<bool> condition)
    {
        for (var n = 0; n < 1000 && !condition(); n++)
            await Task.Delay(10);
        Assert.That(condition());
    }

    [TestCase(true, "created", true)]
    [TestCase(false, "created", false)]
    [TestCase(true, "running", false)]
    [TestCase(true, "exited", false)]
    public async Task A_refused_container_is_removed_after_a_late_answer(bool autoRemove, string status, bool removed)
    {
        HaveLeft(autoRemove: autoRemove, status: status);
        var fails = 2; // the judgement's own look, and the first look after it
        Engine.OnCall = what =>
            Engine.Failure = what.Contains(Id, StringComparison.Ordinal) && fails-- > 0 ? new("busy") : null;
        Assert.That(await BeforeAsync(Call("POST", Starting)), Does.Contain("could not learn from the engine"));
        await UntilAsync(() =>
        {
            lock (Engine.Calls)
                return Engine.Calls.Count(call => call == $"glance {Id}") == 2;
        });
        Assert.That(IsRemoved(), Is.EqualTo(removed));
    }

    [Test]
    public async Task A_start_with_a_configuration_removes_its_container()
    {
        HaveLeft();
        Assert.That(
            await BeforeAsync(Call("POST", $"/v1.20/containers/{Id}/start", "{}")),
            Does.Contain("an API before 1.24")
        );
        Assert.That(IsRemoved());
    }

    [Test]
    public async Task A_refused_container_is_removed_after_a_restart()
    {
        var now = DateTime.UtcNow;
        HaveLeftAs("plain", "0.5", false, "created", now);
        HaveLeftAs("running", "0.5", true, "running", now);
        HaveLeftAs("older", "0.5", true, "created", now.AddMinutes(-3));
        HaveLeftAs("later", "0.5", true, "created", now.AddMilliseconds(5000));
        HaveLeftAs("another", "0.5", true, "created", now.AddSeconds(-10));
        HaveLeft();
        var left = new LeftBehind(Engine, TimeProvider.System, NullLogger<LeftBehind>.Instance)
        {
            RemovalDelay = TimeSpan.FromMilliseconds(50),
        };
        for (var n = 0; n < 1000; n++)
            left.RefusedUnknown();
        await UntilAsync(() => IsRemoved("another") && IsRemoved());
        await Task.Delay(100);
        Assert.That(
            (IsRemoved("plain"), IsRemoved("running"), IsRemoved("older"), IsRemoved("later")),
            Is.EqualTo((false, false, false, false))
        );
        lock (Engine.Calls)
            Assert.That(Engine.Calls.Count(call => call == "list created"), Is.EqualTo(1), "one look for all");
    }

    sealed class Later(TimeSpan by) : TimeProvider
    {
        public bool IsLater { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + (IsLater ? by : TimeSpan.Zero);
    }

    /// <summary>Such a call that comes later is no repetition of one that was lost.</summary>
    [TestCase(59, true)]
    [TestCase(61, false)]
    public async Task The_search_is_limited_to_the_first_minute(int seconds, bool looks)
    {
        var time = new Later(TimeSpan.FromSeconds(seconds));
        HaveLeft();
        var left = new LeftBehind(Engine, time, NullLogger<LeftBehind>.Instance) { RemovalDelay = TimeSpan.Zero };
        time.IsLater = true;
        left.RefusedUnknown();
        if (looks)
            await UntilAsync(() => IsRemoved());
        await Task.Delay(50);
        Assert.That(IsRemoved(), Is.EqualTo(looks));
    }

    /// <summary>As those are of a flood of large ones.</summary>
    [Test]
    public async Task An_unread_call_removes_only_the_container_it_starts()
    {
        HaveLeftAs("innocent", "0.5", true, "created", DateTime.UtcNow.AddSeconds(-5));
        HaveLeft();
        foreach (
            var (method, uri) in ((string?, string?)[])
                [
                    (null, null),
                    ("POST", "/containers/create"),
                    ("POST", "/containers/innocent/exec"),
                    ("GET", "/containers/innocent/start"),
                    ("POST", "/build?q=/containers/innocent/start"),
                ]
        )
            Assert.That(Authorizer.Unread("busy", method, uri), Is.EqualTo(AuthZAnswer.Denied("busy")));
        Assert.That(Engine.Calls, Is.Empty, "nothing is looked for");
        Authorizer.Unread("busy", "POST", Starting);
        await UntilAsync(() => IsRemoved());
        Assert.That(IsRemoved("innocent"), Is.False);
    }

    [Test]
    public async Task A_hanging_container_does_not_block_others()
    {
        HaveLeft();
        Engine.OnCall = what =>
            Engine.Failure = what.Contains("hanging", StringComparison.Ordinal) ? new("no answer") : null;
        var left = new LeftBehind(Engine, TimeProvider.System, NullLogger<LeftBehind>.Instance);
        for (var n = 0; n < 1000; n++)
            left.Refused("hanging");
        left.Refused(Id);
        await UntilAsync(() => IsRemoved());
    }

    [Test]
    public async Task A_container_refused_twice_is_looked_at_twice()
    {
        HaveLeft();
        var left = new LeftBehind(Engine, TimeProvider.System, NullLogger<LeftBehind>.Instance);
        var again = true;
        Engine.OnCall = what =>
        {
            Engine.Failure = null;
            if (!again || !what.StartsWith("glance", StringComparison.Ordinal))
                return;
            again = false;
            left.Refused(Id);
        };
        left.Refused(Id);
        await UntilAsync(() =>
        {
            lock (Engine.Calls)
                return Engine.Calls.Count(call => call == $"glance {Id}") == 2;
        });
    }
}
