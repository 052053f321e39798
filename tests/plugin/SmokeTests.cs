using NUnit.Framework;
namespace Runai.GpuMemory.Tests;
public class SmokeTests { [Test] public void Builds() => Assert.Pass(); }
