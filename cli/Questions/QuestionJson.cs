// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>What docker and the plugin answer in JSON.</summary>
[JsonSerializable(typeof(InspectedVolume[]))]
[JsonSerializable(typeof(EngineError))]
sealed partial class QuestionJson : JsonSerializerContext;
