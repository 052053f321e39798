// SPDX-License-Identifier: Apache-2.0
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Runai.GpuMemory.MicroBench;

// In this process: what is measured is what was built, and nothing is built again.
var job = Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance);
var artifacts = Path.Combine(Path.GetTempPath(), "micro-bench");
var config = ManualConfig.Create(DefaultConfig.Instance).AddJob(job).WithArtifactsPath(artifacts);
BenchmarkSwitcher.FromTypes([typeof(Calls)]).Run(args.Length > 0 ? args : ["--filter", "*"], config);
