using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Admission;

/// <summary>Judges containers that run already, for who started them as far as that is known.</summary>
sealed class ContainerJudge(ContainerSpecs specs, EngineDefaults defaults, IGpuInventory gpus, PolicySource policy, GpuLedger ledger) : IContainerJudge
{
    public Verdict Judge(ContainerInspect container, Requester requester)
    {
        var settings = policy.Current;
        var who = requester == Requester.Engine && ledger.UserOf(container.Id) is { } user ? settings.RequesterOf(user) : requester;
        return Policy.Evaluate(specs.FromInspect(container, defaults.Runtime), who, gpus.Devices, settings, ledger.HoldingsForNewcomer(container.Id));
    }
}
