// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Version numbers as docker, its packages and this project write them.</summary>
static class Releases
{
    /// <summary>The first two numbers, of a text such as <c>20.10.24+dfsg1</c>; null: there are none.</summary>
    public static Version? Read(string? text) =>
        text?.Split('.') is [var major, var minor, ..]
        && int.TryParse(major, out var first)
        && int.TryParse(string.Concat(minor.TakeWhile(char.IsAsciiDigit)), out var second)
        && first >= 0
            ? new(first, second)
            : null;
}
