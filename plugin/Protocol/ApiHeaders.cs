// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>The headers of an API call, one value a name.</summary>
static class ApiHeaders
{
    /// <summary>The value of a header, whatever the case of its name; null where the call has none of it.</summary>
    public static string? Find(this IReadOnlyDictionary<string, string>? headers, string name)
    {
        foreach (var (key, value) in headers ?? new Dictionary<string, string>())
            if (key.Equals(name, StringComparison.OrdinalIgnoreCase))
                return value;
        return null;
    }
}
