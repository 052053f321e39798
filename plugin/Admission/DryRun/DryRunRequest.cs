// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.DryRun;

/// <summary>An API call that is not to be done: its sender wants to know what would become of it. Headers say so, which
/// any client can send; <c>runai-docker policy</c> does.
/// Whatever the answer is, the call is denied with it.</summary>
/// <param name="IsAboutCall">False: just about the policy.</param>
/// <param name="User">Who would make the call; null: who makes it. Empty: a caller on the unix socket.</param>
/// <param name="Policy">The policy file to go by; null: the one in force.</param>
sealed record DryRunRequest(bool IsAboutCall, string? User, byte[]? Policy)
{
    /// <summary><c>call</c> or <c>policy</c>.</summary>
    public const string Header = AuthZEndpoints.DryRunHeader;

    /// <summary>A TLS name in base64.</summary>
    public const string UserHeader = "X-Gpu-Memory-Ask-User";

    /// <summary>The text of a policy file in base64.</summary>
    public const string PolicyHeader = "X-Gpu-Memory-Ask-Policy";

    /// <summary>Null for a call that is no question. One whose headers cannot be read is one all the same: it must not
    /// be done.</summary>
    public static DryRunRequest? Read(IReadOnlyDictionary<string, string>? headers, out string? problem)
    {
        problem = null;
        if (headers.Find(Header) is not { } what)
            return null;
        if (what is not ("call" or "policy"))
            problem = $"the header {Header} is neither call nor policy";
        return new(
            what != "policy",
            Decode(headers, UserHeader, ref problem) is { } user ? Encoding.UTF8.GetString(user) : null,
            Decode(headers, PolicyHeader, ref problem)
        );
    }

    /// <summary>The call as <see cref="User"/> would make it.</summary>
    public AuthZRequest CallOf(AuthZRequest call) =>
        User is null ? call : call with { User = User, UserAuthNMethod = null };

    static byte[]? Decode(IReadOnlyDictionary<string, string>? headers, string name, ref string? problem)
    {
        if (headers.Find(name) is not { } text)
            return null;
        var bytes = new byte[text.Length];
        if (Convert.TryFromBase64String(text, bytes, out var length))
            return bytes[..length];
        problem = $"the header {name} is not base64";
        return null;
    }
}
