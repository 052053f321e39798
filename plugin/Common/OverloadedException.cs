// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>There is more to read than can be read at the same time.</summary>
sealed class OverloadedException() : IOException("too many large calls at the same time: try again");
