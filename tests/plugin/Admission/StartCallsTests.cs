using NUnit.Framework;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Admission;

public class StartCallsTests
{
    readonly HandClock _clock = new();
    StartCalls _starts = null!;

    [SetUp]
    public void SetUp() => _starts = new(_clock);

    static AuthZRequest Call(string name, string user = "") => new() { RequestMethod = "POST", RequestUri = $"/containers/{name}/start", User = user };

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
        _starts.Answered(Call("web", "eve"));
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
    public void It_is_found_out_later_too()
    {
        _starts.Allowed(Call("web"), "web", "a");
        Pass(0.1);
        var then = Now;
        _starts.Answered(Call("web"));
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
        _starts.Answered(Call("a"));
        Assert.That((Caller("a"), Caller("b")), Is.EqualTo(((string?)null, "")));
    }

    [Test]
    public void Calls_that_look_alike_are_over_when_all_are_answered()
    {
        _starts.Allowed(Call("web"), "web", "a");
        _starts.Allowed(Call("web"), "web", "c");
        _starts.Allowed(Call("web", "bob"), "web", "a");
        _starts.Answered(Call("web"));
        Pass(1);
        Assert.That(Caller("b"), Is.EqualTo("bob"));
        _starts.Answered(Call("web", "bob"));
        Pass(1);
        Assert.That(Caller("b"), Is.EqualTo(""), "one of two is answered");
        _starts.Answered(Call("web"));
        _starts.Answered(Call("web"));
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
        _starts.Answered(Call("a"));
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
        _starts.Answered(Call("web"));
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
        _starts.Answered(Call("web", "eve"));
        for (var i = 0; i < 25_000; i++)
        {
            _starts.Allowed(Call($"c{i}", "eve"), $"c{i}", null);
            _starts.Answered(Call($"c{i}", "eve"));
        }
        Assert.That(_starts.FindCallerOfUnjudged("b", then), Is.EqualTo("eve"));
    }

    [Test]
    public void Ever_so_many_calls_at_once_are_too_many_for_a_while()
    {
        for (var i = 0; i < 10_000; i++)
        {
            Assert.That(_starts.IsFull, Is.False);
            _starts.Allowed(Call($"c{i}"), $"c{i}", $"{i}");
        }
        Assert.That(_starts.IsFull);
        Pass(301);
        Assert.That(_starts.IsFull, Is.False, "an engine that was restarted never answers");
        _starts.Allowed(Call("web"), "web", "a");
        Assert.That((Caller("a"), Caller("b")), Is.EqualTo(((string?)null, "")));
    }
}
