// SPDX-License-Identifier: Apache-2.0
using System.ComponentModel;
using System.Diagnostics;

namespace Runai.GpuMemory.Hosting;

/// <summary>The engine waits for the plugin in every API call, and a container that starts waits for its quota: on a
/// busy machine the little that the plugin does comes first.</summary>
static class ProcessPriority
{
    /// <summary>To nice -11 (setpriority(2)): of the calling thread, and of those that are made from now on. Needs
    /// CAP_SYS_NICE; without it all stays as it is.</summary>
    public static void Raise()
    {
        using var me = Process.GetCurrentProcess();
        try
        {
            me.PriorityClass = ProcessPriorityClass.High;
        }
        catch (Win32Exception) { }
    }
}
