// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Starts;

/// <summary>One name of one call.</summary>
/// <param name="call">The call.</param>
/// <param name="name">Without the slash before it.</param>
/// <param name="isMove">Whether the call gives it to a container.</param>
sealed class NameHold(CallNames call, string name, bool isMove)
{
    /// <summary>The call that holds the name, or waits for it.</summary>
    public CallNames Call => call;

    /// <summary>As <see cref="Policies.ContainerNames.Shortened"/> makes it.</summary>
    public string Name => name;

    /// <summary>Calls that reach a name wait for calls that move it, and the other way round. Calls of one kind do not
    /// wait for each other.</summary>
    public bool IsMove => isMove;

    /// <summary>When the call was allowed; null while it is judged.</summary>
    public long? Since { get; set; }

    /// <summary>It waits for no other any more.</summary>
    public TaskCompletionSource Turn { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
