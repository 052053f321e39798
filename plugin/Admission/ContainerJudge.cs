using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Admission;

sealed class ContainerJudge(ContainerSpecs specs, EngineDefaults defaults, IGpuInventory gpus) : IContainerJudge
{
    public Verdict Judge(ContainerInspect container, Requester requester) =>
        Policy.Evaluate(specs.FromInspect(container, defaults.Runtime), requester, gpus.Devices);
}
