// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.CliTests.Exporter;

/// <summary>What Prometheus reads on a page of metrics.</summary>
static class MetricSeries
{
    /// <summary>Each value, by <c>name</c> or <c>name{labels}</c>.</summary>
    public static Dictionary<string, double> Of(string text) =>
        text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Where(line => line[0] != '#')
            .ToDictionary(
                line => line[..line.LastIndexOf(' ')],
                line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture)
            );
}
