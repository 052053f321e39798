// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Admission.Requests;

/// <summary>Go leaves a field alone where the text says null, and takes a single string for a list of one (its
/// strslice).</summary>
[JsonSourceGenerationOptions(Converters = [typeof(GoString), typeof(GoBool), typeof(GoInt), typeof(GoStrings)])]
[JsonSerializable(typeof(CreateBody))]
sealed partial class CreateBodyJson : JsonSerializerContext;
