// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Protocol;

/// <summary>The records of the volume protocol.</summary>
[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(VolumeRequest))]
[JsonSerializable(typeof(VolumeAnswer))]
sealed partial class VolumeJson : JsonSerializerContext;
