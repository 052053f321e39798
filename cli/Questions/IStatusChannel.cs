// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>A way to the plugin's status.</summary>
interface IStatusChannel
{
    /// <summary>The Status of a volume that can only be read.</summary>
    /// <param name="volume">runai-status, or runai-status.NAME.</param>
    /// <exception cref="UserException">The engine has no such volume, or the caller may not read it: the message holds
    /// the plugin's refusal.</exception>
    JsonElement ReadStatus(string volume);
}
