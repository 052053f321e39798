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
    public void Who_starts_while_a_call_by_name_is_under_way_may_be_whom_it_started()
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
    public void A_call_by_a_name_that_nobody_had_may_start_whoever_gets_it_then()
    {
        _starts.Allowed(Call("ghost", "eve"), "ghost", null);
        Assert.That(Caller("b"), Is.EqualTo("eve"));
    }

    [Test]
    public void A_call_that_hangs_is_no_call_for_whoever_else_starts_meanwhile()
    {
        _starts.Allowed(Call("slow", "bob"), "slow", "a");
        _starts.Allowed(Call("be", "eve"), "be", "a");
        Assert.That(_starts.FindCallerOfUnjudged("c0ffee", Now, "task.1"), Is.Null);
        Assert.That(_starts.FindCallerOfUnjudged("c0ffee", Now, "slow"), Is.EqualTo("bob"));
        Assert.That(_starts.FindCallerOfUnjudged("beef", Now, "task.1"), Is.EqualTo("eve"), "by a part of its ID");
    }

    [Test]
    public void It_is_found_out_later_too()
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
    public void A_call_by_the_whole_ID_means_that_container_only()
    {
        _starts.Allowed(Call("a"), "a", "a");
        Assert.That(Caller("b"), Is.Null);
    }

    [Test]
    public void Another_start_of_the_judged_one_does_not_hide_what_the_call_started()
    {
        _starts.Allowed(Call("web"), "web", "a");
        _starts.Allowed(Call("a"), "a", "a");
        Answered("a");
        Assert.That((Caller("a"), Caller("b")), Is.EqualTo(((string?)null, "")));
    }

    [Test]
    public void Calls_that_look_alike_are_over_when_all_are_answered()
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
    public void A_judgement_is_worth_one_run()
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
    public void A_judgement_that_is_open_is_worth_one_run_too()
    {
        _starts.Allowed(Call("a"), "a", "a");
        Pass(0.1);
        Assert.That(Caller("a"), Is.Null);
        _starts.Allowed(Call("web", "eve"), "web", "b");
        Pass(0.1);
        Assert.That(Caller("a"), Is.EqualTo("eve"));
    }

    [Test]
    public void A_call_that_nobody_answers_is_open()
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
    public void Nobody_makes_room_for_a_trick_by_calling_often()
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
    public void Nobody_makes_room_for_a_trick_by_letting_others_call_in_between()
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
    public void Ever_so_many_calls_of_one_caller_push_out_nobody_elses()
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
    public void Who_comes_when_others_have_filled_all_room_is_kept_too()
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
    public void Answered_calls_take_no_room_while_one_like_them_is_open()
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
    public void The_call_that_had_its_run_is_the_one_that_is_answered()
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
    public void Calls_about_one_container_that_hangs_are_bounded_and_hinder_no_other()
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
    public void Ever_so_many_calls_at_once_are_too_many_for_a_while()
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
    public void What_is_kept_of_a_call_is_bounded_whatever_its_URI()
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
