// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Admission.Starts;

sealed class StartCallsTests
{
    readonly FakeTimeProvider _clock = new();
    StartCalls _starts = null!;

    [SetUp]
    public void SetUp() => _starts = new(_clock);

    static AuthZRequest Call(string name, string user = "") =>
        new()
        {
            RequestMethod = "POST",
            RequestUri = $"/containers/{name}/start",
            User = user,
        };

    void Answered(string name, string user = "") => _starts.Answered(Call(name, user), name);

    string? Problem(string name, string user = "") => _starts.FindProblem(Call(name, user), name);

    string? Caller(string id) => _starts.FindCallerOfUnjudged(id, Now);

    string Now => _clock.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'00Z'", null);

    void Pass(double seconds) => _clock.Advance(TimeSpan.FromSeconds(seconds));

    [Test]
    public void A_call_by_name_may_start_another_container()
    {
        Assert.That(Caller("b"), Is.Null, "no call");
        _starts.Allowed(Call("web", "eve"), "web", "a");
        Pass(0.1);
        Assert.That((Caller("b"), Caller("a")), Is.EqualTo(("eve", (string?)null)), "a was judged");
        Answered("web", "eve");
        Pass(0.1);
        Assert.That(Caller("b"), Is.Null, "it began after the answer");
    }

    [Test]
    public void A_call_by_an_unknown_name_may_start_any()
    {
        _starts.Allowed(Call("ghost", "eve"), "ghost", null);
        Assert.That(Caller("b"), Is.EqualTo("eve"));
    }

    [Test]
    public void A_hanging_call_does_not_explain_other_starts()
    {
        _starts.Allowed(Call("slow", "bob"), "slow", "a");
        _starts.Allowed(Call("be", "eve"), "be", "a");
        Assert.That(_starts.FindCallerOfUnjudged("c0ffee", Now, "task.1"), Is.Null);
        Assert.That(_starts.FindCallerOfUnjudged("c0ffee", Now, "slow"), Is.EqualTo("bob"));
        Assert.That(_starts.FindCallerOfUnjudged("beef", Now, "task.1"), Is.EqualTo("eve"), "by a part of its ID");
    }

    [Test]
    public void The_caller_is_found_later_too()
    {
        _starts.Allowed(Call("web"), "web", "a");
        Pass(0.1);
        var then = Now;
        Answered("web");
        Pass(60);
        Assert.That(_starts.FindCallerOfUnjudged("b", then), Is.EqualTo(""));
        Assert.That(_starts.FindCallerOfUnjudged("b", "2001-01-01T00:00:00Z"), Is.Null, "before");
        Assert.That(_starts.FindCallerOfUnjudged("b", "garbage"), Is.Null);
    }

    [Test]
    public void A_call_by_the_whole_ID_means_one_container()
    {
        _starts.Allowed(Call("a"), "a", "a");
        Assert.That(Caller("b"), Is.Null);
    }

    [Test]
    public void A_second_start_does_not_hide_the_first_call()
    {
        _starts.Allowed(Call("web"), "web", "a");
        _starts.Allowed(Call("a"), "a", "a");
        Answered("a");
        Assert.That((Caller("a"), Caller("b")), Is.EqualTo(((string?)null, "")));
    }

    [Test]
    public void Equal_calls_end_when_all_are_answered()
    {
        _starts.Allowed(Call("web"), "web", "a");
        _starts.Allowed(Call("web"), "web", "c");
        _starts.Allowed(Call("web", "bob"), "web", "a");
        Answered("web");
        Pass(1);
        Assert.That(Caller("b"), Is.EqualTo("bob"));
        Answered("web", "bob");
        Pass(1);
        Assert.That(Caller("b"), Is.EqualTo(""), "one of two is answered");
        Answered("web");
        Answered("web");
        Pass(1);
        Assert.That(Caller("b"), Is.Null);
    }

    [Test]
    public void A_judgement_counts_for_one_run()
    {
        _starts.Allowed(Call("a"), "a", "a");
        Pass(0.1);
        var first = Now;
        Assert.That(Caller("a"), Is.Null);
        Assert.That(_starts.FindCallerOfUnjudged("a", first), Is.Null, "the same run, looked at again");
        Answered("a");
        Pass(1);
        _starts.Allowed(Call("web", "eve"), "web", "b");
        Pass(0.1);
        Assert.That(Caller("a"), Is.EqualTo("eve"), "another run of it, by a name that was judged as b's");
        Assert.That(_starts.FindCallerOfUnjudged("a", first), Is.Null);
    }

    [Test]
    public void An_open_judgement_counts_for_one_run()
    {
        _starts.Allowed(Call("a"), "a", "a");
        Pass(0.1);
        Assert.That(Caller("a"), Is.Null);
        _starts.Allowed(Call("web", "eve"), "web", "b");
        Pass(0.1);
        Assert.That(Caller("a"), Is.EqualTo("eve"));
    }

    [Test]
    public void An_unanswered_call_stays_open()
    {
        _starts.Allowed(Call("web"), "web", "a");
        Pass(3600);
        Assert.That(Caller("b"), Is.EqualTo(""));
        Answered("web");
        Pass(1);
        Assert.That(Caller("b"), Is.Null);
    }

    [Test]
    public void A_late_start_was_not_judged()
    {
        _starts.Allowed(Call("a", "bob"), "a", "a");
        Pass(100);
        _starts.Lapse("a", _clock.GetUtcNow() - TimeSpan.FromMinutes(1));
        Assert.That((Caller("a"), Caller("b")), Is.EqualTo(("bob", (string?)null)));
        _starts.Allowed(Call("a", "eve"), "a", "a");
        _starts.Lapse("a", _clock.GetUtcNow() - TimeSpan.FromMinutes(1));
        Assert.That(Caller("a"), Is.Null, "one that was judged since then counts");
    }

    [Test]
    public void Many_calls_do_not_push_out_ones_own()
    {
        _starts.Allowed(Call("web", "eve"), "web", "a");
        Pass(0.1);
        var then = Now;
        Answered("web", "eve");
        for (var i = 0; i < 25_000; i++)
        {
            _starts.Allowed(Call($"c{i}", "eve"), $"c{i}", null);
            Answered($"c{i}", "eve");
        }
        Assert.That(_starts.FindCallerOfUnjudged("b", then), Is.EqualTo("eve"));
    }

    [Test]
    public void Calls_of_others_do_not_push_out_ones_own()
    {
        _starts.Allowed(Call("web", "eve"), "web", "a");
        Pass(0.1);
        var then = Now;
        Answered("web", "eve");
        for (var i = 0; i < 12_000; i++)
        {
            var user = i == 0 ? "bob" : "eve";
            _starts.Allowed(Call($"c{i}", user), $"c{i}", null);
            Answered($"c{i}", user);
        }
        Assert.That(_starts.FindCallerOfUnjudged("b", then), Is.EqualTo("eve"));
    }

    [Test]
    public void Many_calls_do_not_push_out_anothers()
    {
        _starts.Allowed(Call("web", "bob"), "web", "a");
        Pass(0.1);
        var then = Now;
        Answered("web", "bob");
        for (var i = 0; i < 12_000; i++)
        {
            _starts.Allowed(Call("x", "eve"), "x", "x");
            Answered("x", "eve");
        }
        Assert.That(
            (_starts.FindCallerOfUnjudged("b", then), _starts.FindCallerOfUnjudged("a", then)),
            Is.EqualTo(("bob", (string?)null))
        );
    }

    [Test]
    public void A_caller_is_kept_when_others_filled_the_room()
    {
        for (var i = 0; i < 10_000; i++)
        {
            _starts.Allowed(Call("x", "eve"), "x", "x");
            Answered("x", "eve");
        }
        _starts.Allowed(Call("web", "alice"), "web", "a");
        Pass(0.1);
        var then = Now;
        Answered("web", "alice");
        Assert.That(_starts.FindCallerOfUnjudged("b", then), Is.EqualTo("alice"));
    }

    [Test]
    public void Answered_calls_take_no_room()
    {
        _starts.Allowed(Call("web"), "web", "a");
        for (var i = 0; i < 12_000; i++)
        {
            Assert.That(Problem("web"), Is.Null, $"{i}");
            _starts.Allowed(Call("web"), "web", "a");
            Answered("web");
        }
        Pass(1);
        Assert.That((Caller("a"), Caller("b")), Is.EqualTo(((string?)null, "")), "the first one is open");
        Answered("web");
        Pass(1);
        Assert.That(Caller("b"), Is.Null);
    }

    /// <summary>Which of two it was nobody says, and the other may start the container yet.</summary>
    [Test]
    public void An_answer_ends_the_call_that_had_its_run()
    {
        _starts.Allowed(Call("a"), "a", "a");
        Pass(0.1);
        Assert.That(Caller("a"), Is.Null);
        _starts.Allowed(Call("a"), "a", "a");
        Answered("a");
        Pass(1);
        _starts.Allowed(Call("web", "eve"), "web", "b");
        Pass(1);
        Assert.That(Caller("a"), Is.Null, "the second was judged for it");
        Pass(1);
        Assert.That(Caller("a"), Is.EqualTo("eve"));
    }

    [Test]
    public void Starts_of_a_hanging_container_are_bounded()
    {
        for (var i = 0; i < StartCalls.MaxPerName; i++)
        {
            Assert.That(Problem("hangs", $"u{i}"), Is.Null);
            _starts.Allowed(Call("hangs", $"u{i}"), "hangs", "h");
        }
        Assert.That(
            Problem("hangs"),
            Does.StartWith("64 starts of the container hangs are under way, and the engine has finished none of them")
        );
        Assert.That(Problem("web"), Is.Null);
        Pass(301);
        Assert.That(Problem("hangs"), Is.Null, "an engine that was restarted never answers");
    }

    [Test]
    public void Simultaneous_starts_are_bounded()
    {
        void Fill(string user)
        {
            for (var i = 0; i < StartCalls.MaxPerUser; i++)
            {
                Assert.That(Problem($"c{user}{i}", user), Is.Null);
                _starts.Allowed(Call($"c{user}{i}", user), $"c{user}{i}", $"{i}");
            }
        }
        Fill("eve");
        Assert.That(
            (Problem("web", "eve"), Problem("web", "bob")),
            Is.EqualTo(
                (
                    "5000 starts of yours are under way that the engine has not finished: wait until it does",
                    (string?)null
                )
            )
        );
        Fill("bob");
        Assert.That(Problem("web", "alice"), Does.StartWith("10000 starts are under way"));
        Pass(301);
        Assert.That(Problem("web"), Is.Null, "an engine that was restarted never answers");
        _starts.Allowed(Call("web"), "web", "a");
        Assert.That((Caller("a"), Caller("b")), Is.EqualTo(((string?)null, "")));
    }

    /// <summary>Go's HTTP server takes a URI of nearly a megabyte.</summary>
    [Test]
    public void Long_URIs_take_bounded_memory()
    {
        var before = GC.GetTotalMemory(forceFullCollection: true);
        for (var i = 0; i < 100; i++)
        {
            var name = new string('x', 900_000) + i;
            _starts.Allowed(Call(name), name, null);
        }
        Assert.That(GC.GetTotalMemory(forceFullCollection: true) - before, Is.LessThan(20_000_000));
        Assert.That(Problem("x"), Is.Null);
        GC.KeepAlive(_starts);
    }
}
