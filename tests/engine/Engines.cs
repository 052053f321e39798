// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.EngineTests;

/// <summary>The engines that the fixtures run on, as Debian builds them.</summary>
static class Engines
{
    public const string Oldest = "20.10";
    public const string Middle = "26.1";
    public const string Newest = "28.5";
}
