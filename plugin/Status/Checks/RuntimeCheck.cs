// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>With NVIDIA's as the default runtime, an image's <c>NVIDIA_VISIBLE_DEVICES</c> gives <c>RUN</c> of the
/// classic builder GPUs, about which the engine asks no plugin.</summary>
sealed class RuntimeCheck(PolicySource policy) : ICheck
{
    public IEnumerable<Problem> Find(EngineInfo? engine)
    {
        if (engine is null || policy.Current.Limits.RequireQuota != true || !IsNvidia(engine))
            yield break;
        yield return new(
            "runtime",
            null,
            $"the policy requires quotas, and the engine's default runtime is {Quoted.Text(engine.DefaultRuntime)}: "
                + "RUN of the classic builder gets GPUs without a quota where the image asks for them",
            "put \"default-runtime\": \"runc\" into /etc/docker/daemon.json, and run systemctl reload docker; --gpus "
                + "and --runtime=nvidia work as before"
        );
    }

    static bool IsNvidia(EngineInfo engine) =>
        new[] { engine.DefaultRuntime, engine.ProgramOf(engine.DefaultRuntime) }.Any(name =>
            name.Contains("nvidia", StringComparison.OrdinalIgnoreCase)
        );
}
