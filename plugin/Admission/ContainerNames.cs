using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission;

/// <summary>Names that a container must not get.</summary>
static class ContainerNames
{
    const int IdLength = 64;

    /// <summary>The engine looks for an ID first and for a name then: a call by the ID of a container that is gone means the one that is called so, which nobody has judged for it.</summary>
    /// <param name="names">As in the query of a create or a rename; the engine takes a slash before them.</param>
    /// <returns>Null, or what is wrong, for the caller.</returns>
    public static string? FindProblem(IEnumerable<string> names) =>
        names.FirstOrDefault(IsLikeId) is { } name ? $"the name {Quoted.Text(name.TrimStart('/'))} has the form of a container's ID: take another one" : null;

    static bool IsLikeId(string name) => name.TrimStart('/') is { Length: IdLength } plain && plain.All(char.IsAsciiHexDigitLower);
}
