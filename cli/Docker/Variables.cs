// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>The environment that this program was started with, as bytes: NAME=VALUE each.</summary>
static class Variables
{
    /// <summary>All of them, in the order of the environment.</summary>
    public static byte[][] All() => RawArguments.Split(File.ReadAllBytes("/proc/self/environ"));

    /// <summary>Its value; null where it is not set, or empty.</summary>
    public static byte[]? Get(string name) => Find(All(), name) is { Length: > 0 } value ? value : null;

    /// <summary>All of them, this one with another value.</summary>
    public static IReadOnlyList<byte[]> With(string name, string value) =>
        [.. All().Where(variable => ValueOf(variable, name) is null), Word.Of($"{name}={value}")];

    static byte[]? Find(byte[][] variables, string name) =>
        variables.Select(variable => ValueOf(variable, name)).FirstOrDefault(value => value is not null);

    static byte[]? ValueOf(byte[] variable, string name)
    {
        var begin = Word.Of(name + "=");
        return variable.Begins(begin) ? variable[begin.Length..] : null;
    }
}
