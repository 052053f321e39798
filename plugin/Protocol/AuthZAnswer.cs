// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Protocol;

/// <summary>The decision. <paramref name="Msg"/> is what the user reads after a denial; <c>Err</c> is not used, for the
/// engine ignores it beside an allowance.</summary>
sealed record AuthZAnswer(bool Allow, string Msg = "", string Err = "")
{
    /// <summary>Without a message: the user sees nothing of it.</summary>
    public static AuthZAnswer Allowed { get; } = new(true);

    /// <summary>Cuts the message to <see cref="Bounded.MaxBytes"/>.</summary>
    public static AuthZAnswer Denied(string message) => new(false, Bounded.Text(message));
}
