using System.Security.Cryptography;
using System.Text;

namespace Runai.GpuMemory.Engine;

/// <summary>The mark by which the plugin, asked by the engine about an API call, knows that the call is its own: a header with a secret of this process.</summary>
public sealed class OwnCalls
{
    /// <summary>In the spelling in which the engine passes header names on.</summary>
    public const string Header = "X-Runai-Call";

    readonly byte[] _secret;

    public OwnCalls()
    {
        // From the kernel: .NET's own generator needs OpenSSL, which the plugin's rootfs does not have.
        Span<byte> random = stackalloc byte[32];
        using (var source = File.OpenHandle("/dev/urandom"))
            if (RandomAccess.Read(source, random, 0) != random.Length) throw new IOException("/dev/urandom gave too little");
        Secret = Convert.ToHexStringLower(random);
        _secret = Encoding.ASCII.GetBytes(Secret);
    }

    internal string Secret { get; }

    /// <summary>Whether a call with these request headers was made by this process. Takes the same time for every wrong secret.</summary>
    public bool IsOwn(IEnumerable<KeyValuePair<string, string>>? headers)
    {
        foreach (var (name, value) in headers ?? [])
            if (name.Equals(Header, StringComparison.OrdinalIgnoreCase))
                return CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(value), _secret);
        return false;
    }
}
