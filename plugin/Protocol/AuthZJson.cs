// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Protocol;

/// <summary>The records of the authorization protocol.</summary>
[JsonSourceGenerationOptions(Converters = [typeof(UnpooledBytes)])]
[JsonSerializable(typeof(AuthZRequest))]
[JsonSerializable(typeof(AuthZAnswer))]
sealed partial class AuthZJson : JsonSerializerContext;
