// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Checks;

/// <summary>What one check found. Texts may hold what others wrote.</summary>
/// <param name="Check">Its name, in small letters.</param>
/// <param name="By">Who made it: <c>wrapper</c> or <c>plugin</c>.</param>
/// <param name="State">One of the constants.</param>
/// <param name="Message">What was found.</param>
/// <param name="Remedy">How to fix it; empty: nothing to fix.</param>
/// <param name="Container">The name of the container that it is about; null: the host.</param>
sealed record Finding(
    string Check,
    string By,
    string State,
    string Message,
    string Remedy = "",
    string? Container = null
)
{
    const string Wrapper = "wrapper";

    /// <summary>Nothing is wrong.</summary>
    public const string IsOk = "ok";

    /// <summary>Something is wrong.</summary>
    public const string IsProblem = "problem";

    /// <summary>It could not be found out.</summary>
    public const string IsUnknown = "unknown";

    /// <summary>Who had to answer did not.</summary>
    public const string IsSilent = "no answer";

    /// <summary>A check of this program's that passed.</summary>
    public static Finding Ok(string check, string message) => new(check, Wrapper, IsOk, message);

    /// <summary>A check of this program's that found something wrong.</summary>
    public static Finding Problem(string check, string message, string remedy) =>
        new(check, Wrapper, IsProblem, message, remedy);

    /// <summary>A check that this program could not make.</summary>
    public static Finding Unknown(string check, string message, string remedy = "") =>
        new(check, Wrapper, IsUnknown, message, remedy);

    /// <summary>No answer from the engine or the plugin.</summary>
    public static Finding Silent(string check, string message, string remedy) =>
        new(check, Wrapper, IsSilent, message, remedy);
}
