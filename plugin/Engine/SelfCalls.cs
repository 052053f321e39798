// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Runai.GpuMemory.Engine;

/// <summary>The mark by which the plugin, asked by the engine about an API call, knows that the call is its own: a
/// header with a secret of this process.</summary>
sealed class SelfCalls
{
    /// <summary>In the spelling in which the engine passes header names on.</summary>
    public const string Header = "X-Runai-Call";

    /// <summary>For so long after a call the engine counts as one that asks about its calls.</summary>
    const long RecentMilliseconds = 5000;

    readonly byte[] _secret;
    long _askedAt = long.MinValue / 2;
    readonly string _mark;
    readonly ConcurrentDictionary<string, OwnPing> _pings = new(StringComparer.Ordinal);
    int _pingsSent;

    public SelfCalls()
    {
        // From the kernel: .NET's own generator needs OpenSSL, which the plugin's rootfs does not have.
        Span<byte> random = stackalloc byte[48];
        using (var source = File.OpenHandle("/dev/urandom"))
            if (RandomAccess.Read(source, random, 0) != random.Length)
                throw new IOException("/dev/urandom gave too little");
        Secret = Convert.ToHexStringLower(random[..32]);
        _mark = Convert.ToHexStringLower(random[32..]) + "-";
        _secret = Encoding.ASCII.GetBytes(Secret);
    }

    /// <summary>The value of <see cref="Header"/>: 64 random hexadecimal digits of this process.</summary>
    internal string Secret { get; }

    /// <summary>A ping of this process that is like no other. No secret (an engine that debugs logs it): to send it
    /// tells the plugin no more than that the engine asks. Known until it is disposed.</summary>
    internal OwnPing NewPing()
    {
        var ping = new OwnPing(
            string.Create(CultureInfo.InvariantCulture, $"{_mark}{Interlocked.Increment(ref _pingsSent)}"),
            _pings
        );
        _pings[ping.Target] = _pings[ping.OtherTarget] = ping;
        return ping;
    }

    /// <summary>The engine asked this plugin about an API call, whoever made it.</summary>
    public void NoteAuthorizationCall(string? uri = null)
    {
        Volatile.Write(ref _askedAt, Environment.TickCount64);
        if (uri?.Contains(_mark, StringComparison.Ordinal) == true && _pings.TryGetValue(uri, out var ping))
            ping.IsAsked = true;
    }

    /// <summary>Whether the engine asks this plugin about API calls, as far as the last seconds show. The plugin's own
    /// calls are among them.</summary>
    public bool IsAuthorizing => Environment.TickCount64 - Volatile.Read(ref _askedAt) < RecentMilliseconds;

    /// <summary>Whether a call with these request headers was made by this process. Takes the same time for every wrong
    /// secret.</summary>
    public bool IsOwn(IEnumerable<KeyValuePair<string, string>>? headers)
    {
        foreach (var (name, value) in headers ?? [])
            if (name.Equals(Header, StringComparison.OrdinalIgnoreCase))
                return CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(value), _secret);
        return false;
    }
}
