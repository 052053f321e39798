// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary>Which rows are shown. As in docker, a row needs one of the values of each key.</summary>
sealed class RowFilter
{
    const int MaxShown = 60;

    /// <summary>The plugin's of running containers (docs/status.md), and docker's of stopped ones.</summary>
    static readonly string[] States = ["ok", "over", "no-gpu", "unlimited", "created", "exited", "dead"];

    readonly ILookup<string, string> _values;

    RowFilter(ILookup<string, string> values) => _values = values;

    /// <summary>Reads the values of <c>--filter</c>.</summary>
    /// <param name="filters">KEY=VALUE each.</param>
    /// <exception cref="UserException">One is not, or names a state that no container has.</exception>
    public static RowFilter Read(IReadOnlyList<string> filters)
    {
        var all = filters.Select(filter => filter.Split('=', 2)).ToArray();
        foreach (var filter in all)
        {
            if (filter is not ["user" or "name" or "gpu" or "state", var value])
                throw new UserException(
                    $"invalid filter '{Shown(string.Join('=', filter))}': "
                        + "type --filter user=NAME, name=TEXT, gpu=INDEX or state=STATE"
                );
            if (filter[0] == "state" && !States.Contains(value))
                throw new UserException($"unknown state '{Shown(value)}': type one of {string.Join(", ", States)}");
        }

        return new(all.ToLookup(filter => filter[0], filter => filter[1]));
    }

    /// <summary>Whether the row is shown.</summary>
    public bool Takes(ContainerRow row) =>
        Takes("user", row.Container.User ?? "")
        && Takes("state", row.Container.State ?? "")
        && (!_values.Contains("name") || _values["name"].Any(text => Has(row.Container.Name, text)))
        && (Takes("gpu", $"{row.Gpu?.Index}") || Takes("gpu", row.Gpu?.Uuid ?? ""));

    static bool Has(string? name, string text) => name?.Contains(text, StringComparison.Ordinal) == true;

    static string Shown(string text) => Printable.Cut(Printable.Text(text), MaxShown);

    bool Takes(string key, string value) => !_values.Contains(key) || _values[key].Contains(value);
}
