// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>Names that a container must not get.</summary>
static class ContainerNames
{
    /// <summary>Lengths in hexadecimal digits: of an ID as clients show it, and of a whole one.</summary>
    public const int ShortId = 12,
        IdLength = 64;

    /// <summary>The engine looks for a whole ID first, for a name then, and for the beginning of an ID last. A call by
    /// the ID of a container that is gone would mean the container that is called so, which was not judged
    /// for it: no container gets such a name. A call by the beginning of an ID, as clients show it, would mean the
    /// container that is called so instead: that matters where callers may do different things, by the policy
    /// file.</summary>
    /// <param name="names">As in the query of a create or a rename; the engine takes a slash before them.</param>
    /// <param name="policy">The policy in force.</param>
    public static Verdict Judge(IEnumerable<string> names, PolicySettings policy) =>
        names.Select(name => name.TrimStart('/')).FirstOrDefault(IsLikeId) switch
        {
            null => Verdict.Allowed,
            { Length: IdLength } id => Verdict.Refused(
                Rule,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"the name {Quoted.Text(id)} has the form of a container's ID ({IdLength} hexadecimal "
                        + $"digits): {AnotherName}"
                )
            ),
            _ when policy.IsBuiltIn => Verdict.Allowed,
            { } part => Verdict.RefusedByPolicyFile(
                policy,
                Rule,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"the name {Quoted.Text(part)} has the form of the beginning of a container's ID ({ShortId} "
                        + $"to {IdLength} hexadecimal digits): {AnotherName}"
                )
            ),
        };

    const string Rule = "container-name",
        AnotherName = "take another one, with a letter after f or a - in it";

    /// <summary>A whole ID: it means one container or none, whatever is created or renamed.</summary>
    public static bool IsWholeId(string name) => name.Length == IdLength && name.All(char.IsAsciiHexDigitLower);

    /// <summary>The names of containers that <c>--link</c> gives a second name, and that name, as the engine reads them
    /// (moby's opts.ParseLink).</summary>
    public static IEnumerable<(string Name, string Alias)> OfLinks(IEnumerable<string>? links) =>
        from link in links ?? []
        let parts = link.Split(':')
        select parts is [['/', .. var name], var path, ..]
            ? (name, path[(path.LastIndexOf('/') + 1)..])
            : (parts[0], parts[^1]);

    /// <summary>The engine joins the new container's name and the alias as a path: one that leads out of it could be
    /// any name.</summary>
    /// <returns>Null, or what is wrong, for the caller.</returns>
    public static string? FindAliasProblem(IEnumerable<string>? links) =>
        OfLinks(links)
            .Select(link => link.Alias)
            .FirstOrDefault(alias => alias.Trim('/') is "" or "." or ".." || alias.TrimStart('/').Contains('/'))
            is { } alias
            ? $"the alias {Quoted.Text(alias)} of a --link is no name: take one without a slash"
            : null;

    /// <summary>To be kept in mind, without the slash before it. What is not kept of a long one makes names one that
    /// are not, which is harmless.</summary>
    public static string Shortened(string name)
    {
        const int MaxLength = 128;
        var plain = name.TrimStart('/');
        return plain.Length <= MaxLength
            ? plain
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{plain.AsSpan(0, MaxLength)} {StringComparer.Ordinal.GetHashCode(plain)}"
            );
    }

    /// <summary>Whether it looks like an ID, or like what clients show of one.</summary>
    public static bool IsLikeId(string name) =>
        name.Length is >= ShortId and <= IdLength && name.All(char.IsAsciiHexDigitLower);
}
