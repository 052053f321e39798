// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The bodies of calls other than create, read strictly.</summary>
static class StrictBodies
{
    /// <summary><c>POST /containers/{id}/exec</c>.</summary>
    public static StrictBody<ExecBody> Exec { get; } = new(StrictBodyJson.Default.ExecBody);

    /// <summary><c>POST /containers/{id}/checkpoints</c>.</summary>
    public static StrictBody<CheckpointBody> Checkpoint { get; } = new(StrictBodyJson.Default.CheckpointBody);

    /// <summary><c>POST /volumes/create</c>.</summary>
    public static StrictBody<VolumeBody> Volume { get; } = new(StrictBodyJson.Default.VolumeBody);

    /// <summary><c>POST /services/create</c> and <c>/services/{id}/update</c>.</summary>
    public static StrictBody<ServiceBody> Service { get; } = new(StrictBodyJson.Default.ServiceBody);
}
