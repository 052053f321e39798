// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;

namespace Runai.GpuMemory.Cli.Help;

/// <summary>A command with the name of one of docker's: ours as <c>docker runai NAME</c> only.</summary>
abstract class PluginCommand(string name, string description) : Command(name, description);
