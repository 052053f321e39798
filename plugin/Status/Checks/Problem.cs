// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Status.Checks;

/// <summary>Something is wrong on this host, and what mends it.</summary>
/// <param name="Check">Which check found it: one of the table in docs/status.md.</param>
/// <param name="Container">The name of the container that it is about; null: the host.</param>
/// <param name="Message">What is wrong. The same for as long as it lasts: no figure that changes.</param>
/// <param name="Remedy">What to type.</param>
sealed record Problem(string Check, string? Container, string Message, string Remedy)
{
    /// <summary>The names of all checks.</summary>
    public static IReadOnlyList<string> AllChecks { get; } =
    [
        "chain",
        "policy",
        "nvml",
        "volume",
        "mps",
        "runtime",
        "buildkit",
        "toolkit",
        "driver",
        "mig",
        "dev-char",
        "space",
        "unlimited",
        "no-gpu",
        "sandbox",
        "static",
        "shim",
    ];

    static readonly string[] Joints = [". As root, ", ": "];

    /// <summary>Of a sentence as users read it elsewhere: what is wrong, a joint, what to type.</summary>
    public static Problem Of(string check, string sentence)
    {
        foreach (var joint in Joints)
            if (sentence.IndexOf(joint, StringComparison.Ordinal) is > 0 and var at)
                return new(check, null, sentence[..at], sentence[(at + joint.Length)..]);
        return new(check, null, sentence, "");
    }
}
