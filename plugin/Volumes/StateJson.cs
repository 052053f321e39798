// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Volumes;

/// <summary>The records in the plugin's state folder.</summary>
[JsonSerializable(typeof(MountReference))]
[JsonSerializable(typeof(StoredVolume))]
sealed partial class StateJson : JsonSerializerContext;
