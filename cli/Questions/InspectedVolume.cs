// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>Of what <c>docker volume inspect</c> prints for a volume.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Status">What its driver says of it; null: nothing.</param>
sealed record InspectedVolume(string Name, JsonElement? Status);
