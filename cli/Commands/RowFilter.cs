// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary>Which rows are shown. As in docker, a row needs one of the values of each key.</summary>
sealed class RowFilter
{
    readonly ILookup<string, string> _values;

    RowFilter(ILookup<string, string> values) => _values = values;

    /// <summary>Reads the values of <c>--filter</c>.</summary>
    /// <param name="filters">KEY=VALUE each.</param>
    /// <exception cref="UserException">One is not.</exception>
    public static RowFilter Read(IReadOnlyList<string> filters)
    {
        var all = filters.Select(filter => filter.Split('=', 2)).ToArray();
        foreach (var filter in all)
        {
            if (filter is not ["user" or "gpu" or "state", _])
                throw new UserException(
                    $"invalid filter '{string.Join('=', filter)}': type --filter user=NAME, gpu=INDEX or state=STATE"
                );
        }

        return new(all.ToLookup(filter => filter[0], filter => filter[1]));
    }

    /// <summary>Whether the row is shown.</summary>
    public bool Takes(ContainerRow row) =>
        Takes("user", row.Container.User ?? "")
        && Takes("state", row.Container.State ?? "")
        && (Takes("gpu", $"{row.Gpu?.Index}") || Takes("gpu", row.Gpu?.Uuid ?? ""));

    bool Takes(string key, string value) => !_values.Contains(key) || _values[key].Contains(value);
}
