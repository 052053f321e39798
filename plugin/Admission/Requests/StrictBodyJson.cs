// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Admission.Requests;

/// <summary>Serializers of the bodies other than create, which read values as Go does.</summary>
[JsonSourceGenerationOptions(Converters = [typeof(GoString), typeof(GoBool), typeof(GoInt), typeof(GoStrings)])]
[JsonSerializable(typeof(ExecBody))]
[JsonSerializable(typeof(CheckpointBody))]
[JsonSerializable(typeof(VolumeBody))]
[JsonSerializable(typeof(ServiceBody))]
sealed partial class StrictBodyJson : JsonSerializerContext;
