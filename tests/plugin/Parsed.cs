// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;
using Runai.GpuMemory.Tests.Admission;

namespace Runai.GpuMemory.Tests;

/// <summary>What tests need read.</summary>
static class Parsed
{
    /// <summary>Null where the text is no quota.</summary>
    public static GpuMemoryQuota? Quota(string? text) =>
        GpuMemoryQuota.TryParse(text, out var quota, out _) ? quota : null;

    /// <summary>What admission reads in it, on a host without default runtime.</summary>
    public static ContainerSpec Spec(ContainerInspect container) =>
        new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromInspect(container, "?");
}
