// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.ApiBench;

/// <summary>Times of one kind, in milliseconds, from all rounds together.</summary>
sealed class Samples
{
    readonly List<double> _values = [];

    public int Count => _values.Count;

    public void Add(TimeSpan time) => Add(time.TotalMilliseconds);

    public void Add(double milliseconds)
    {
        lock (_values)
            _values.Add(milliseconds);
    }

    /// <summary>The value that this part of all values do not exceed.</summary>
    public double Quantile(double part)
    {
        lock (_values)
        {
            if (_values.Count == 0)
                return double.NaN;
            _values.Sort();
            return _values[Math.Max(0, (int)Math.Ceiling(_values.Count * part) - 1)];
        }
    }

    public double P50 => Quantile(0.5);
    public double P99 => Quantile(0.99);
}
