// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Starts;

namespace Runai.GpuMemory.Tests.Admission.Starts;

sealed class NamesInMotionTests
{
    readonly FakeTimeProvider _clock = new();
    NamesInMotion _names = null!;
    int _calls;

    [SetUp]
    public void SetUp() => _names = new(_clock) { WaitTimeout = TimeSpan.Zero };

    CallNames Call(string user = "") =>
        _names.Of(
            new()
            {
                RequestMethod = "POST",
                RequestUri = $"/{_calls++}",
                User = user,
            }
        );

    static string? Reach(CallNames call, string name) => call.ReachAsync(name, CancellationToken.None).AsTask().Result;

    static string? Move(CallNames call, string name) => call.MoveAsync(name, CancellationToken.None).AsTask().Result;

    string? TryMove(string name)
    {
        using var call = Call();
        return Move(call, name);
    }

    string? TryReach(string name, string user = "")
    {
        using var call = Call(user);
        return Reach(call, name);
    }

    [Test]
    public void A_name_in_use_is_not_given_away()
    {
        using (var call = Call())
        {
            Assert.That(Reach(call, "web"), Is.Null);
            Assert.That(
                (TryMove("/web"), TryMove("other"), TryReach("web")),
                Is.EqualTo(
                    (
                        "the name web is used by calls that the engine has not finished: try again",
                        (string?)null,
                        (string?)null
                    )
                )
            );
        }
        Assert.That(TryMove("web"), Is.Null);
    }

    [Test]
    public void An_allowed_call_holds_its_names_for_a_time()
    {
        var reach = Call();
        Assert.That(Reach(reach, "web"), Is.Null);
        reach.Allowed();
        _clock.Advance(NamesInMotion.ReachLasts - TimeSpan.FromTicks(1));
        Assert.That(TryMove("web"), Is.Not.Null);
        _clock.Advance(TimeSpan.FromTicks(1));
        var move = Call();
        Assert.That(Move(move, "web"), Is.Null);
        move.Allowed();
        _clock.Advance(NamesInMotion.MoveLasts - TimeSpan.FromTicks(1));
        Assert.That(TryReach("web"), Is.EqualTo("web is being created or renamed: try again"));
        _names.Answered(
            new()
            {
                RequestMethod = "POST",
                RequestUri = "/other",
                User = "",
            }
        );
        Assert.That(TryReach("web"), Is.Not.Null, "that was another call");
        _clock.Advance(TimeSpan.FromTicks(1));
        Assert.That(TryReach("web"), Is.Null);
    }

    /// <summary>Nobody keeps others from a name by calling often: who comes later waits behind who waits.</summary>
    [Test]
    public async Task Calls_take_turns_in_order()
    {
        _names = new(_clock) { WaitTimeout = TimeSpan.FromMinutes(10) };
        using var first = Call();
        using var move = Call();
        using var second = Call();
        await first.ReachAsync("web", CancellationToken.None);
        var moves = move.MoveAsync("web", CancellationToken.None).AsTask();
        var follows = second.ReachAsync("web", CancellationToken.None).AsTask();
        Assert.That((moves.IsCompleted, follows.IsCompleted), Is.EqualTo((false, false)));
        first.Dispose();
        Assert.That(await moves, Is.Null);
        Assert.That(follows.IsCompleted, Is.False);
        move.Dispose();
        Assert.That(await follows, Is.Null);
    }

    [Test]
    public void Held_names_are_bounded_by_caller_and_in_all()
    {
        var calls = Enumerable
            .Range(0, NamesInMotion.MaxEntries)
            .Select(i => Call($"u{i / NamesInMotion.MaxPerCaller}"))
            .ToArray();
        for (var i = 0; i < NamesInMotion.MaxPerCaller; i++)
            Assert.That(Reach(calls[i], $"c{i}"), Is.Null);
        Assert.That(
            (TryReach("web", "u0"), TryReach("web", "u1")),
            Is.EqualTo(
                (
                    "too many calls by names of containers are under way that the engine has not finished: try "
                        + "again, or write whole IDs",
                    (string?)null
                )
            )
        );
        for (var i = NamesInMotion.MaxPerCaller; i < calls.Length; i++)
            Assert.That(Reach(calls[i], $"c{i}"), Is.Null);
        Assert.That(TryReach("web", "bob"), Does.StartWith("too many calls"));
        foreach (var call in calls)
            call.Allowed();
        _clock.Advance(NamesInMotion.ReachLasts);
        Assert.That(TryReach("web", "u0"), Is.Null);
    }
}
