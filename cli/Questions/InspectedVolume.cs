// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>Of what <c>docker volume inspect</c> prints for a volume.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Status">What its driver says of it; null: nothing.</param>
sealed record InspectedVolume(string Name, JsonElement? Status)
{
    /// <summary>Reads the Status of the volume that was asked for.</summary>
    /// <param name="volume">Its name.</param>
    /// <param name="read">Reads the answer; null: there is no such volume in it.</param>
    /// <exception cref="UserException">The answer has no Status.</exception>
    public static JsonElement StatusOf(string volume, Func<InspectedVolume?> read)
    {
        try
        {
            if (read()?.Status is { ValueKind: JsonValueKind.Object } status)
                return status;
        }
        catch (JsonException) { }

        throw new UserException($"docker volume inspect {volume} has no Status: is it a volume of the plugin?");
    }
}
