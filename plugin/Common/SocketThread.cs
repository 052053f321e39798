// SPDX-License-Identifier: Apache-2.0
using System.Runtime.CompilerServices;

namespace Runai.GpuMemory.Common;

/// <summary>The few threads that wait for all sockets and go on with whatever came
/// (<c>DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS</c>): a call that takes no longer than reading it is answered
/// there, without a change of threads. What may wait, for a lock, a disk or a mount, must leave first, or it holds up
/// the other sockets.</summary>
static class SocketThread
{
    /// <summary>Goes on on a thread of the pool.</summary>
    public static YieldAwaitable Leave() => Task.Yield();
}
