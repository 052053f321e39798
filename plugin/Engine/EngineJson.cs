// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>The records that the engine answers with.</summary>
[JsonSerializable(typeof(ContainerInspect))]
[JsonSerializable(typeof(ImageInspect))]
[JsonSerializable(typeof(EngineEvent))]
[JsonSerializable(typeof(ExecInspect))]
[JsonSerializable(typeof(ContainerGlance))]
[JsonSerializable(typeof(ServiceInspect))]
[JsonSerializable(typeof(EngineError))]
sealed partial class EngineJson : JsonSerializerContext;
