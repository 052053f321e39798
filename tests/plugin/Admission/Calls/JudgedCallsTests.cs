// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Admission.Calls;

namespace Runai.GpuMemory.Tests.Admission.Calls;

sealed class JudgedCallsTests
{
    const string Id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    readonly JudgedCalls _calls = new();
    readonly List<IDisposable> _places = [];

    [TearDown]
    public void Leave()
    {
        _places.ForEach(place => place.Dispose());
        _places.Clear();
        Assert.That(Problem("web"), Is.Empty, "all places are free again");
    }

    string Problem(string container, string caller = "")
    {
        using var place = _calls.TryEnter(container, caller, out var problem);
        Assert.That(place is null, Is.EqualTo(problem.Length > 0));
        return problem;
    }

    void Enter(int count, Func<int, string> container, Func<int, string> caller)
    {
        for (var i = 0; i < count; i++)
            _places.Add(
                _calls.TryEnter(container(i), caller(i), out var problem)
                    ?? throw new AssertionException($"{i}: {problem}")
            );
    }

    [Test]
    public void One_hanging_container_leaves_room_for_others()
    {
        Enter(JudgedCalls.MaxPerContainer, _ => "hangs", i => $"u{i}");
        Assert.That(
            Problem("hangs"),
            Is.EqualTo(
                "50 calls for hangs wait for the engine: try again when it has answered, and if it does not, "
                    + "look at what holds the container (the engine's log)"
            )
        );
        Assert.That(Problem("web"), Is.Empty);
        _places[0].Dispose();
        _places[0].Dispose();
        Assert.That(Problem("hangs"), Is.Empty);
        Enter(1, _ => "hangs", _ => "");
        Assert.That(Problem("hangs"), Is.Not.Empty, "who leaves twice leaves once");
    }

    [Test]
    public void Parts_of_an_ID_count_as_one_container()
    {
        Enter(JudgedCalls.MaxPerContainer, i => Id[..(12 + i)], _ => "");
        Assert.That(
            (Problem(Id), Problem(Id[..12]), Problem(Id[..11])),
            Is.EqualTo((Problem(Id), Problem(Id[..12]), ""))
        );
        Assert.That(Problem(Id), Does.StartWith("50 calls for "));
        Assert.That(Problem("b" + Id[1..]), Is.Empty);
    }

    [Test]
    public void Short_hexadecimal_names_are_names()
    {
        Enter(JudgedCalls.MaxPerContainer, _ => "d1", _ => "");
        Assert.That((Problem("db"), Problem("d")), Is.EqualTo(("", "")));
        Assert.That(Problem("d1"), Does.StartWith("50 calls for d1 "));
    }

    [TestCase("container")]
    [TestCase("volume")]
    public void Looks_at_a_container_leave_room_for_others(string what)
    {
        var kind = what == "volume" ? Counted.Volume : Counted.Reached;
        for (var i = 0; i < JudgedCalls.MaxPerContainer; i++)
            _places.Add(
                _calls.TryLook(kind, "hangs", out var problem) ?? throw new AssertionException($"{i}: {problem}")
            );
        Assert.That(
            (_calls.TryLook(kind, "hangs", out var busy), busy),
            Is.EqualTo(
                (
                    (IDisposable?)null,
                    "50 calls for hangs wait for the engine: try again when it has answered, and if it does "
                        + $"not, look at what holds the {what} (the engine's log)"
                )
            )
        );
        using (var other = _calls.TryLook(kind, "web", out _))
            Assert.That((other, Problem("hangs")), Is.Not.EqualTo(((IDisposable?)null, "")));
        _places[0].Dispose();
        _places.Add(_calls.TryLook(kind, "hangs", out busy)!);
        Assert.That((busy, _calls.TryLook(kind, "hangs", out _)), Is.EqualTo(("", (IDisposable?)null)));
    }

    [Test]
    public void Each_caller_and_all_together_are_bounded()
    {
        Enter(JudgedCalls.MaxPerCaller, i => $"c{i}.", _ => "eve");
        Assert.That(
            (Problem("web", "eve"), Problem("web", "bob")),
            Is.EqualTo(("600 of your calls wait for the engine: try again when it has answered", ""))
        );
        Enter(JudgedCalls.MaxCalls - JudgedCalls.MaxPerCaller, _ => "", i => $"u{i}");
        Assert.That(Problem("web", "bob"), Does.StartWith("1000 calls wait for the engine"));
    }
}
