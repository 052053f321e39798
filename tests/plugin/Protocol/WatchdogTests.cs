// SPDX-License-Identifier: Apache-2.0
using System.Net.Sockets;
using NUnit.Framework;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Protocol;

sealed class WatchdogTests
{
    const int TenSeconds = 40;
    static readonly string Folder = Directory.CreateTempSubdirectory("watchdog").FullName;
    static int _sockets;

    static UnixDomainSocketEndPoint NewPlace() =>
        new(Path.Combine(Folder, $"{Interlocked.Increment(ref _sockets)}.sock"));

    [OneTimeTearDown]
    public void RemoveFolder() => Directory.Delete(Folder, recursive: true);

    /// <summary>A thread that asks, as the watchdog's does.</summary>
    static Task<bool> Ask(UnixDomainSocketEndPoint place) =>
        Task.Factory.StartNew(() => Watchdog.IsAnswered(place), TaskCreationOptions.LongRunning);

    static Socket Listen(UnixDomainSocketEndPoint place)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(place);
        listener.Listen();
        return listener;
    }

    [Test]
    public async Task A_plugin_that_works_answers()
    {
        await using var plugin = await PluginUnderTest.StartAsync();
        Assert.That(await Ask(new(plugin.Socket)));
        Assert.That(plugin.Asked, Is.Empty, "none of its services is concerned");
    }

    [Test]
    public void No_socket_is_no_answer() => Assert.That(Watchdog.IsAnswered(NewPlace()), Is.False);

    [Test]
    public async Task A_connection_that_is_not_accepted_counts_as_none()
    {
        var place = NewPlace();
        var listener = Listen(place);
        var asked = Ask(place);
        Assert.That(
            SpinWait.SpinUntil(() => listener.Poll(0, SelectMode.SelectRead), TimeSpan.FromSeconds(10)),
            "it is connected"
        );
        Assert.That(asked.IsCompleted, Is.False);
        listener.Dispose();
        Assert.That(await asked, Is.False);
    }

    [Test]
    public async Task An_unanswered_call_is_waited_for()
    {
        var place = NewPlace();
        using var listener = Listen(place);
        var asked = Ask(place);
        using var connection = await listener.AcceptAsync();
        Assert.That(await connection.ReceiveAsync(new byte[1000]), Is.Positive);
        Assert.That(asked.IsCompleted, Is.False);
        await connection.SendAsync("HTTP/1.1 200 OK\r\n\r\n"u8.ToArray());
        Assert.That(await asked);
    }

    static int StepsUntilTooLong(HangSteps hang, long asked, long answered, int most)
    {
        for (var step = 1; step <= most; step++)
            if (hang.IsTooLong(asked, answered))
                return step;
        return 0;
    }

    [Test]
    public void Ten_seconds_without_an_answer_are_a_hang() =>
        Assert.That(
            StepsUntilTooLong(new(), 1, 0, 1000),
            Is.EqualTo(TenSeconds + 1),
            "the step in which it was asked does not count"
        );

    [Test]
    public void Slow_answers_are_no_hang()
    {
        var hang = new HangSteps();
        for (var call = 1; call < 100; call++)
        {
            Assert.That(StepsUntilTooLong(hang, call, call - 1, TenSeconds), Is.Zero);
            Assert.That(StepsUntilTooLong(hang, call, call, 3), Is.Zero);
        }
    }

    [Test]
    public void No_call_is_no_hang() => Assert.That(StepsUntilTooLong(new(), 0, 0, 10_000), Is.Zero);

    [Test]
    public void A_pause_of_the_whole_process_is_one_step()
    {
        // The machine slept, or a debugger had it: nobody made steps meanwhile, whatever the clock says.
        var hang = new HangSteps();
        Assert.That(StepsUntilTooLong(hang, 7, 6, TenSeconds), Is.Zero);
        Assert.That(hang.IsTooLong(7, 7), Is.False, "the answer comes with the next one");
    }
}
