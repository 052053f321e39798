// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Tables;

/// <summary>One field of a table.</summary>
/// <param name="Text">Printable.</param>
/// <param name="Colour">On a terminal; null: none.</param>
readonly record struct Cell(string Text, Colour? Colour = null)
{
    public static implicit operator Cell(string text) => new(text);

    /// <summary>A state, in the colour of what it asks for.</summary>
    public static Cell OfState(string? state) =>
        new(
            Printable.Text(state),
            state switch
            {
                "over" or "no-gpu" or "problem" or "no answer" => Tables.Colour.Red,
                "unlimited" or "full" or "unknown" => Tables.Colour.Yellow,
                _ => null,
            }
        );
}

/// <summary>The numbers of ECMA-48, which each terminal has.</summary>
enum Colour
{
    /// <summary>What is wrong.</summary>
    Red = 31,

    /// <summary>What to look at.</summary>
    Yellow = 33,
}
